package httpapi

import (
	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/policy"
)

// viewer is who makes one request, and what they may read.
type viewer struct {
	id     *agents.Identity
	policy interface {
		MayRead(viewer *agents.Identity, s broker.Subject) bool
		Reads(viewer *agents.Identity, s broker.Subject) policy.Tier
	}
	asked map[broker.Subject]bool
	tiers map[broker.Subject]policy.Tier
}

// mayRead asks the policy, once a request for each subject.
func (v *viewer) mayRead(s broker.Subject) bool {
	may, known := v.asked[s]
	if known {
		return may
	}
	may = v.policy.MayRead(v.id, s)
	if v.asked == nil {
		v.asked = map[broker.Subject]bool{}
	}
	v.asked[s] = may
	return may
}

// reads is how much of a subject the viewer may read, asked for once a request.
func (v *viewer) reads(s broker.Subject) policy.Tier {
	tier, known := v.tiers[s]
	if known {
		return tier
	}
	tier = v.policy.Reads(v.id, s)
	if v.tiers == nil {
		v.tiers = map[broker.Subject]policy.Tier{}
	}
	v.tiers[s] = tier
	return tier
}

// mayMatch reports whether the viewer may read what calls of a subject were made with, and
// so look for it.
func (v *viewer) mayMatch(s broker.Subject) bool { return v.reads(s).Covers(policy.TierArguments) }

func (v *viewer) mayReadDomain(domain string) bool { return v.mayRead(broker.Subject{Domain: domain}) }

// domains are all there are, and those that the viewer may read as a whole.
func (a *api) domains(v *viewer) (all, readable []string) {
	seen := map[string]bool{}
	for _, d := range append(a.cfg.Domains(), audit.OwnDomain) {
		if seen[d] {
			continue
		}
		seen[d] = true
		all = append(all, d)
		if v.mayReadDomain(d) {
			readable = append(readable, d)
		}
	}
	return all, readable
}
