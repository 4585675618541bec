package broker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// maxShadowed bounds what is recorded of a draft's reasons, and of its errors.
const maxShadowed = 8

// Shadow has a draft of the policies asked beside those in force, from now on: each
// decision about a call then says what the draft would have decided, and nothing else
// changes. No files end it. On an error the draft of before stays.
func (b *Broker) Shadow(ctx context.Context, files []policy.File) (policy.Findings, error) {
	b.reload.Lock()
	defer b.reload.Unlock()
	p := b.cfg.Policies
	if len(files) == 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.draftFiles, p.draftFindings = nil, nil
		p.draft.Store(nil)
		return nil, nil
	}
	set, found, err := p.Check(files)
	if err != nil {
		return found, fmt.Errorf("shadow policies: %w", err)
	}
	if err := b.recount(ctx, set.Counters()); err != nil {
		return found, fmt.Errorf("shadow policies: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draftFiles = files
	p.redraft()
	return found, nil
}

// Draft is the set that is asked beside the one in force; nil if none is.
func (p *Policies) Draft() *policy.Set { return p.draft.Load() }

// DraftTrouble says why a draft is not asked about some tools, or about any.
func (p *Policies) DraftTrouble() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draftFiles == nil {
		return nil
	}
	if err := p.draftFindings.Err(); err != nil {
		return err
	}
	if q := p.draft.Load().Quarantined(); len(q) > 0 {
		return fmt.Errorf("the draft does not fit %v", q)
	}
	return nil
}

// redraft makes the draft fit the tools. About those that it does not fit it has no
// opinion, which the decisions say. The caller holds mu.
func (p *Policies) redraft() {
	if p.draftFiles == nil {
		return
	}
	o := p.options
	o.MayQuarantine = func(string) bool { return true }
	set, found := policy.Compile(p.draftFiles, policyTools(p.tools), o)
	p.draftFindings = found
	if found.Err() == nil {
		p.draft.Store(set)
	} else {
		p.draft.Store(nil)
	}
}

// shadowed adds to a decision what the draft would have decided, by the values that its
// counters had at the same moment. Whatever goes wrong with it is said there, and stays there.
func (b *Broker) shadowed(d *audit.Decision, draft *policy.Set, r policy.Request, recent map[string]int64) {
	if draft == nil || d.PolicySet == draft.Digest() {
		return
	}
	begun := time.Now()
	defer func() {
		if broken := recover(); broken != nil {
			d.Shadow = &audit.Shadow{PolicySet: draft.Digest(), Effect: audit.Deny, Errors: []string{"the draft could not be evaluated"}}
			b.cfg.Logger.LogAttrs(b.live, slog.LevelError, "draft of the policies could not be evaluated", slog.Any("panic", broken))
		}
		b.metrics.shadowed(b.live, d, time.Since(begun))
	}()
	r.Recent = recent
	would, err := draft.Decide(r)
	s := &audit.Shadow{PolicySet: draft.Digest(), Effect: would.Effect}
	if err != nil && len(would.Errors) == 0 {
		would.Errors = []string{err.Error()}
	}
	if would.Effect != d.Effect || len(would.Errors) > 0 {
		s.Reasons = would.Reasons[:min(len(would.Reasons), maxShadowed)]
		s.Errors = would.Errors[:min(len(would.Errors), maxShadowed)]
	}
	d.Shadow = s
}

// recalled decides by the set in force and the counters of this moment. If it permits,
// the call counts from now on: until it is read back, or dropped.
func (b *Broker) recalled(callID string, t *tools.Tool, args tools.Arguments, r policy.Request, who audit.Identity) (audit.Decision, error) {
	set, draft := b.cfg.Policies.Set(), b.cfg.Policies.Draft()
	counters := set.Counters()
	if draft == nil || callID == "" {
		return b.askCounting(set, callID, t, args, r, who, counters)
	}
	drafted := draft.Counters()
	for _, c := range drafted {
		if !slices.ContainsFunc(counters, func(other policy.Counter) bool { return other.String() == c.String() }) {
			counters = append(counters, c)
		}
	}
	var recent map[string]int64
	if len(drafted) > 0 {
		recent = b.recents.now(drafted, t.Name(), who, r.Now)
	}
	d, err := b.askCounting(set, callID, t, args, r, who, counters)
	b.shadowed(&d, draft, r, recent)
	return d, err
}
