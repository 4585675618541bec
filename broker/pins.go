package broker

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// Trust says how far an upstream's definitions of its tools are believed.
type Trust uint8

// How far definitions are believed. One that is not waits in quarantine until a person has reviewed it.
const (
	TrustFirst    Trust = iota // at first sight; a change is not
	TrustReviewed              // not even then
	TrustAny                   // always: those of the broker's own tools
)

// Findings about tools whose definitions are not trusted.
const (
	findingNew     = "its definition has not been reviewed yet"
	findingChanged = "its definition has changed since it was reviewed, or first seen"
)

// pins are the definitions that are trusted, and those that wait for a review.
type pins struct {
	mu      sync.Mutex
	trusted map[string]pin    // by tool; guarded by mu
	waiting map[string]string // digests on record as untrusted, by tool; guarded by mu
}

type pin struct {
	digest string
	text   json.RawMessage // the definition
}

func newPins() *pins { return &pins{trusted: map[string]pin{}, waiting: map[string]string{}} }

func (p *pins) of(tool string) pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trusted[tool]
}

func (p *pins) trust(tool, digest string, text json.RawMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trusted[tool] = pin{digest, text}
	delete(p.waiting, tool)
}

// wait notes that a definition waits; it reports whether that is news.
func (p *pins) wait(tool, digest string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[tool] == digest {
		return false
	}
	p.waiting[tool] = digest
	return true
}

// finding says why a tool's definition is not trusted; empty if it is. One that looks as
// if it instructed models is not trusted at first sight either. Names are those of all tools.
func (b *Broker) finding(t *tools.Tool, names map[string]string) string {
	trust, known := b.cfg.Trust[t.Upstream], b.pins.of(t.Name())
	if trust == TrustAny || t.Method != tools.MethodCall || known.digest == t.Digest {
		return ""
	}
	finding := ""
	switch {
	case known.digest != "":
		finding = findingChanged
	case trust == TrustReviewed:
		finding = findingNew
	}
	suspicions := tools.Suspicions(t, names)
	if len(suspicions) == 0 {
		return finding
	}
	return clip(cmp.Or(finding, findingNew)+", and it "+strings.Join(suspicions, ", and "), maxReason)
}

// Untrusted finds the tools whose definitions have to be reviewed before they can be
// called, with the reason. It is for tools.RegistryOptions.Review.
func (b *Broker) Untrusted(ts []*tools.Tool) map[string]string {
	found, names := map[string]string{}, tools.Names(ts)
	for _, t := range ts {
		if finding := b.finding(t, names); finding != "" {
			found[t.Name()] = finding
		}
	}
	return found
}

// Pin records the definitions of tools that are new, and trusted, so that they are
// known while their upstream is down and can be shown years later; and of those that
// are not trusted, that they were seen. Call it with each change of the catalogue.
func (b *Broker) Pin(ctx context.Context, ts []*tools.Tool) error {
	b.reload.Lock()
	defer b.reload.Unlock()
	names := tools.Names(ts)
	for _, t := range ts {
		known := b.pins.of(t.Name())
		finding := b.finding(t, names)
		if known.digest == t.Digest || finding != "" && !b.pins.wait(t.Name(), t.Digest) {
			continue
		}
		if err := b.recordPin(ctx, t, audit.Pin{Finding: finding, Previous: known.digest}); err != nil {
			return err
		}
	}
	return nil
}

// recordPin writes what became of a tool's definition, and trusts it unless there is a finding.
func (b *Broker) recordPin(ctx context.Context, t *tools.Tool, data audit.Pin) error {
	p := audit.NewPayload(audit.PayloadDefinition, t.Raw)
	data.Tool, data.Definition, data.Text = t.Name(), t.Digest, p.Commitment()
	if err := b.write(ctx, audit.ToolPinned, control(), data, p); err != nil {
		return fmt.Errorf("pin tool: %w", err)
	}
	if data.Finding == "" {
		b.pins.trust(t.Name(), t.Digest, t.Raw)
	}
	return nil
}

// Review is a tool's definition before a person, beside the one that was trusted before.
type Review struct {
	Tool     *tools.Tool
	Reviewed json.RawMessage // the definition trusted so far; nil if there is none
	Digest   string          // of Reviewed
}

// Definition shows a person a tool's definition and the one trusted so far. It fails
// with NotFound for tools that are not there, or that the viewer may not review.
func (b *Broker) Definition(ctx context.Context, viewer *agents.Identity, name string) (Review, error) {
	t := b.known(name)
	foreign := t != nil && b.permits(viewer, policy.ActionReview, policy.OnTool{Tool: name, Domain: t.Domain}).Effect != audit.Allow
	if foreign {
		b.Reject(ctx, agents.Foreign(viewer))
	}
	if t == nil || foreign {
		return Review{}, &Error{Kind: NotFound, Op: "show definition", Public: "there is no tool of this name that you may review"}
	}
	before := b.pins.of(name)
	return Review{Tool: t, Reviewed: before.text, Digest: before.digest}, nil
}

// ApproveDefinition trusts a tool's definition from here on, for a person who may
// review it and was shown the definition with this digest.
func (b *Broker) ApproveDefinition(ctx context.Context, id *agents.Identity, name, digest string) error {
	op := "review " + clip(name, maxToolName)
	if err := b.admit(ctx, op, id); err != nil {
		return err
	}
	b.reload.Lock()
	defer b.reload.Unlock()
	t := b.known(name)
	if t == nil {
		return &Error{Kind: NotFound, Op: op, Public: "there is no such tool"}
	}
	if d := b.permits(id, policy.ActionReview, policy.OnTool{Tool: name, Domain: t.Domain}); d.Effect != audit.Allow {
		return b.refuseControl(ctx, id, policy.ActionReview, name, d)
	}
	if t.Digest != digest {
		return &Error{Kind: Conflict, Op: op, Public: "the definition is not the one that you were shown; look at it again"}
	}
	who := recorded(id)
	if err := b.recordPin(ctx, t, audit.Pin{Previous: b.pins.of(name).digest, By: &who}); err != nil {
		return &Error{Kind: LogUnavailable, Op: op, Err: err, Retry: 5 * time.Second, Public: "the review could not be recorded; try again"}
	}
	b.cfg.Catalogue.Recheck()
	return nil
}

// known is a tool, quarantined or not; nil if there is none.
func (b *Broker) known(name string) *tools.Tool {
	all := b.cfg.Catalogue.Tools()
	if i := slices.IndexFunc(all, func(t *tools.Tool) bool { return t.Name() == name }); i >= 0 {
		return all[i]
	}
	return nil
}
