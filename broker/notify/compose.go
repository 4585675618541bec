package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit/calls"
)

// compose makes the message about some calls.
func (n *Notifier) compose(ctx context.Context, channel string, list []pending) Message {
	if len(list) == 1 {
		return n.message(ctx, channel, list[0])
	}
	m := Message{Time: time.Now().UTC(), Link: n.cfg.URL + "/#/inbox"}
	ids := sha256.New()
	for _, p := range list {
		one := n.message(ctx, channel, p)
		ids.Write([]byte(one.ID + "\n"))
		m.Digest = append(m.Digest, one)
	}
	m.ID = "digest." + hex.EncodeToString(ids.Sum(nil)[:16])
	m.Thread = m.ID
	return m
}

func (n *Notifier) message(ctx context.Context, channel string, p pending) Message {
	c := p.call
	id := func(s State) string { return c.ID + "." + channel + "." + string(s) }
	m := Message{
		ID: id(p.state), Thread: c.ID, State: p.state, Time: p.at.UTC(), Late: p.late, CallID: c.ID,
		Tool: visible(c.Intent.Tool), Domain: c.Domain, Sentence: n.sentence(ctx, c), Principal: visible(c.Intent.Identity.Principal),
		Deadline: c.Deadline().UTC(), Outcome: outcome(c, p.state), Link: n.cfg.URL + "/#/calls/" + c.ID,
	}
	if p.first != "" {
		m.First = id(Held)
	}
	for _, a := range c.Intent.Identity.Chain {
		m.Agents = append(m.Agents, visible(a.ID))
	}
	for _, role := range c.Approvers() {
		m.Approvers = append(m.Approvers, visible(role))
	}
	return m
}

// sentence is the call in the operator's words, without what looks like a secret. Without
// such words nothing is told of its arguments.
func (n *Notifier) sentence(ctx context.Context, c calls.Call) string {
	s, err := n.cfg.Words(ctx, c)
	if err != nil {
		n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "arguments of a held call cannot be read for a notification", slog.String("call_id", c.ID), slog.Any("error", err))
	}
	if err != nil || !s.Written() {
		return "A call of " + visible(c.Intent.Tool) + "."
	}
	var b strings.Builder
	for _, part := range s.Parts {
		switch {
		case part.Field == "":
			b.WriteString(part.Text)
		case n.cfg.Withhold(part.Field, part.Text):
			b.WriteString("[withheld]")
		default:
			b.WriteString(unlinked(part.Text))
		}
	}
	return clip(b.String(), maxLine)
}

// outcome says how a call was decided.
func outcome(c calls.Call, s State) string {
	switch s {
	case Approved:
		return "Approved" + by(voters(c))
	case Unknown:
		return "Outcome unknown"
	case Denied:
		if c.Outcome.By != nil {
			return "Denied" + by([]string{c.Outcome.By.Principal})
		}
		return "Denied"
	case Expired:
		return "Expired, nobody decided"
	case Cancelled:
		return "Cancelled"
	case Held, Test:
		return ""
	default:
		return ""
	}
}

func voters(c calls.Call) []string {
	var names []string
	for _, v := range c.Votes {
		names = append(names, v.By.Principal)
	}
	return names
}

func by(names []string) string {
	for i := range names {
		names[i] = visible(names[i])
	}
	if len(names) == 0 {
		return ""
	}
	return " by " + strings.Join(names, " and ")
}
