package broker

import (
	"strings"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
)

// rights are what a viewer may do about a held call.
type rights struct {
	vote  audit.Decision
	reads policy.Tier
}

// none reports whether the call does not exist for them.
func (r rights) none() bool { return r.vote.Effect != audit.Allow && r.reads == "" }

func (b *Broker) rights(viewer *agents.Identity, c calls.Call) rights {
	return rights{b.mayVote(viewer, c), b.reads(viewer, resourceOf(c))}
}

// glance asks for the rights of one viewer on many calls at one moment. Of calls that
// policies cannot tell apart they are asked once: of a thousand that wait there are few kinds.
type glance struct {
	broker *Broker
	viewer *agents.Identity
	set    *policy.Set
	apart  bool // the policies name single calls
	known  map[string]rights
}

func (b *Broker) glance(viewer *agents.Identity) *glance {
	set := b.cfg.Policies.Set()
	return &glance{broker: b, viewer: viewer, set: set, apart: set.NamesCalls(), known: map[string]rights{}}
}

func (g *glance) rights(c calls.Call) rights {
	if g.apart || g.broker.cfg.Policies.Set() != g.set { // they have changed meanwhile
		return g.broker.rights(g.viewer, c)
	}
	kind := kindOf(resourceOf(c))
	r, known := g.known[kind]
	if !known {
		r = g.broker.rights(g.viewer, c)
		g.known[kind] = r
	}
	return r
}

// kindOf is the same for calls that only their ids tell apart.
func kindOf(c policy.OnCall) string {
	lists := [][]string{{c.Tool, c.Domain, c.Principal}, c.Roles, c.Agents, c.Known, c.Approvers}
	parts := make([]string, len(lists))
	for i, list := range lists {
		parts[i] = strings.Join(list, "\x00")
	}
	return strings.Join(parts, "\x01")
}
