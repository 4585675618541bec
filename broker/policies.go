package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// Policies is the policy set in force, kept in step with the tools: whenever
// these change it is type-checked against them again, and a tool that the policies
// do not fit is quarantined.
type Policies struct {
	options policy.Options
	set     atomic.Pointer[policy.Set]

	mu       sync.Mutex
	files    []policy.File   // guarded by mu
	tools    []*tools.Tool   // guarded by mu
	findings policy.Findings // guarded by mu: of the set in force

	draft         atomic.Pointer[policy.Set] // asked beside it; nil for none
	draftFiles    []policy.File              // guarded by mu
	draftFindings policy.Findings            // guarded by mu
}

// NewPolicies type-checks files by themselves. What they say about tools is checked
// once the tools are known, by Review.
func NewPolicies(files []policy.File, o policy.Options) (*Policies, error) {
	o.MayQuarantine = nil
	p := &Policies{options: o}
	if _, err := p.Replace(files); err != nil {
		return nil, err
	}
	return p, nil
}

// Set is the set in force. It is immutable.
func (p *Policies) Set() *policy.Set { return p.set.Load() }

// Findings are the warnings about the set in force, and the tools that it does not fit.
func (p *Policies) Findings() policy.Findings {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.findings
}

// Replace puts files in force if they type-check against all tools that are known
// now. Otherwise the error joins the findings, and what was in force stays.
func (p *Policies) Replace(files []policy.File) (policy.Findings, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set, found := policy.Compile(files, policyTools(p.tools), p.options)
	if err := found.Err(); err != nil {
		return found, fmt.Errorf("activate policies: %w", err)
	}
	p.files, p.findings = files, found
	p.set.Store(set)
	return found, nil
}

// Review makes the set fit a new set of tools, before these become visible. It
// returns a finding for each tool that a policy does not fit: it stays quarantined.
func (p *Policies) Review(ts []*tools.Tool) map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.options
	o.MayQuarantine = func(string) bool { return true }
	set, found := policy.Compile(p.files, policyTools(ts), o)
	quarantined := map[string]string{}
	for _, f := range found {
		for _, t := range f.Tools {
			if f.Severity != policy.Warning {
				quarantined[t] = f.String()
			}
		}
	}
	if found.Err() != nil { // no tool can be called by a set that does not fit it
		for _, t := range ts {
			quarantined[t.Name()] = "the policies cannot be checked against the tools: " + found.Err().Error()
		}
		return quarantined
	}
	p.tools, p.findings = ts, found
	p.set.Store(set)
	p.redraft()
	return quarantined
}

// Files are those in force.
func (p *Policies) Files() []policy.File { return slices.Clone(p.active()) }

// Check type-checks files against the tools known now, and gives the set that
// would be. Nothing comes into force.
func (p *Policies) Check(files []policy.File) (*policy.Set, policy.Findings, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set, found := policy.Compile(files, policyTools(p.tools), p.options)
	if err := found.Err(); err != nil {
		return nil, found, fmt.Errorf("activate policies: %w", err)
	}
	return set, found, nil
}

func (p *Policies) active() []policy.File {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.files
}

func policyTools(ts []*tools.Tool) []policy.Tool {
	var out []policy.Tool
	for _, t := range ts {
		if t.Finding != "" {
			continue
		}
		a := t.Annotations
		out = append(out, policy.Tool{
			Upstream: t.Upstream, Domain: t.Domain, Name: t.Definition.Name, InputSchema: t.InputSchema,
			Annotations: policy.Annotations{ReadOnly: a.ReadOnly, Destructive: a.Destructive, Idempotent: a.Idempotent, OpenWorld: a.OpenWorld},
		})
	}
	return out
}

// Activate puts policy files in force after a type-check against the tools, and
// after the log has acknowledged that it does: no decision is made by a set that is
// not on record. On an error what was in force stays. Held calls that people have
// voted on are decided again.
func (b *Broker) Activate(ctx context.Context, files []policy.File) (policy.Findings, error) {
	b.reload.Lock()
	defer b.reload.Unlock()
	set, found, err := b.cfg.Policies.Check(files)
	if err != nil {
		return found, err
	}
	if err := b.recount(ctx, set.Counters()); err != nil {
		return found, err
	}
	digest := set.Digest()
	before := b.cfg.Policies.Set().Digest()
	if digest != before {
		if err := b.recordSet(ctx, digest, files); err != nil {
			return found, b.keepPolicies(ctx, before, err, errors.Is(err, audit.ErrUncertain))
		}
	}
	if found, err = b.cfg.Policies.Replace(files); err != nil { // the tools changed meanwhile
		return found, b.keepPolicies(ctx, before, err, digest != before)
	}
	for _, h := range b.holds.voted() {
		b.consider(h)
	}
	return found, nil
}

// keepPolicies puts on record that what was in force stays, if the log may say
// otherwise. It returns why the others were not activated.
func (b *Broker) keepPolicies(ctx context.Context, digest string, cause error, otherwise bool) error {
	if !otherwise {
		return cause
	}
	return errors.Join(cause, b.recordSet(ctx, digest, b.cfg.Policies.active()))
}

// recordPolicies writes which policies are in force, if they are not those of before.
func (b *Broker) recordPolicies(ctx context.Context, before string) error {
	digest := b.cfg.Policies.Set().Digest()
	if digest == before {
		return nil
	}
	return b.recordSet(ctx, digest, b.cfg.Policies.active())
}

// recordSet writes that a policy set is in force from here on, with the text of its files.
func (b *Broker) recordSet(ctx context.Context, digest string, files []policy.File) error {
	var names []string
	all := map[string]string{}
	for _, f := range files {
		names = append(names, f.Name)
		all[f.Name] = string(f.Text)
	}
	text, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("record policies: %w", err)
	}
	p := audit.NewPayload(audit.PayloadPolicy, text)
	err = b.write(ctx, audit.PolicyActivated, control(), audit.Activation{PolicySet: digest, Files: names, Text: p.Commitment()}, p)
	return err
}

func control() about { return about{domain: audit.OwnDomain, topic: audit.TopicControl} }

// seed makes the tools known that the log remembers. A definition that is not there
// any more, or is not what was recorded, is left out: its tool is pinned anew.
func (b *Broker) seed(ctx context.Context, pins map[string]pinned) error {
	known := map[string][]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(pins)) {
		pin := pins[name]
		p, err := b.cfg.Payloads.Payload(ctx, pin.at, audit.PayloadDefinition)
		switch {
		case errors.Is(err, audit.ErrErased), err == nil && !pin.text.Matches(p):
			b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "definition of a tool is not what was recorded",
				slog.String("tool", name), slog.String("position", pin.at.String()))
			continue
		case err != nil:
			return fmt.Errorf("read definition of %s: %w", name, err)
		}
		upstream, _, _ := strings.Cut(name, ".")
		known[upstream] = append(known[upstream], p.Body)
		b.pins.trust(name, pin.digest, p.Body)
	}
	for _, upstream := range slices.Sorted(maps.Keys(known)) {
		if err := b.cfg.Catalogue.Seed(upstream, known[upstream]); err != nil {
			b.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "tools of the log that are not offered any more",
				slog.String("upstream", upstream), slog.Any("reason", err))
		}
	}
	return nil
}
