package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// This file finds what helps people to decide on a held call, beside the call itself.

// quorum is how many approvals a held call takes, by one set of policies.
type quorum struct {
	set    *policy.Set
	digest string // of the call, which an edit changes
	n      int
}

// illuminate adds what the tool says of itself, and how many approvals the call takes.
func (b *Broker) illuminate(v *HeldCall, h *hold) {
	t, err := b.cfg.Catalogue.Lookup(v.Intent.Tool)
	if q, ok := errors.AsType[*tools.QuarantinedError](err); ok {
		t = q.Tool
	}
	if t == nil || t.Digest != v.Intent.Definition {
		return
	}
	v.Annotations = t.Annotations
	_, dry := b.cfg.DryRuns[v.Intent.Tool]
	v.DryRun = dry && v.MayVote && v.Arguments != nil && v.Intent.Redacted == nil
	if v.State == calls.Held {
		v.Quorum = b.quorum(h, v, t)
	}
}

// quorum asks the policies of now, once for each set unless they look back.
func (b *Broker) quorum(h *hold, v *HeldCall, t *tools.Tool) int {
	set, digest := b.cfg.Policies.Set(), v.Digest()
	h.mu.Lock()
	known, exact := h.quorum, h.args
	h.mu.Unlock()
	if known.set == set && known.digest == digest && !set.Recalls(t.Name()) {
		return known.n
	}
	if exact == nil && v.Intent.Redacted == nil {
		exact = v.Arguments
	}
	args, err := tools.ParseArguments(exact)
	if exact == nil || err != nil { // erased, or not for this viewer
		return 0
	}
	r := requestFor(t, args, v.Intent.Identity, policy.Approvals{})
	if counters := set.Counters(); len(counters) > 0 {
		b.recents.mu.Lock()
		r.Recent = b.recents.values(counters, t.Name(), v.Intent.Identity, time.Now())
		b.recents.mu.Unlock()
	}
	n := set.Quorum(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.quorum = quorum{set, digest, n}
	return n
}

// justification is why the agent says that it makes a held call, read once.
func (b *Broker) justification(ctx context.Context, h *hold, c calls.Call) (string, error) {
	h.mu.Lock()
	said := h.said
	h.mu.Unlock()
	if said != nil || c.Intent.Justification == nil {
		return deref(said), nil
	}
	p, err := b.cfg.Payloads.Payload(ctx, c.Opening.At, audit.PayloadJustification)
	if err == nil && !c.Intent.Justification.Matches(p) {
		err = fmt.Errorf("%w: it is not what %s commits to", audit.ErrCorrupt, c.Opening.At)
	}
	var text string
	if err == nil {
		err = json.Unmarshal(p.Body, &text)
	}
	if err != nil {
		return "", fmt.Errorf("read justification: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.call.Open() {
		h.said = &text
	}
	return text, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
