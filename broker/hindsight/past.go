package hindsight

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// History is what is read.
type History interface {
	audit.Payloads
	Sizes(ctx context.Context) (map[string]int64, error)
	Record(ctx context.Context, p audit.Position) (audit.Record, error)
	Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error]
}

const controlLog = audit.OwnDomain + "/" + audit.TopicControl

// folder makes calls of records. Its memory grows with open calls.
type folder struct {
	open    map[string]*calls.Call
	counted func(*calls.Call, audit.Event) error
	err     error
}

// fold returns the call that a record ended. What no honest broker wrote is for the
// verifier to tell.
func (f *folder) fold(r audit.Record) *calls.Call {
	if !strings.HasSuffix(r.Position.Log, "/"+audit.TopicCalls) {
		return nil
	}
	e, err := r.Event()
	if err != nil {
		return nil
	}
	c := f.open[e.Subject]
	if c == nil {
		c = &calls.Call{}
	}
	counted, err := c.Apply(e, r.Position)
	if err != nil || !counted {
		return nil
	}
	if f.counted != nil && (e.Type == audit.CallReleased || c.Opening.ID == e.ID) {
		f.err = errors.Join(f.err, f.counted(c, e))
	}
	if c.State == calls.Closed {
		delete(f.open, e.Subject)
		return c
	}
	f.open[e.Subject] = c
	return nil
}

// each visits every call from begin on: those that ended in the order of their end, then those
// that are open. Before, it tells of each event that permits or releases a call, and of
// each that opens one, in the order of the history, if counted is not nil.
func each(ctx context.Context, from History, begin audit.Cursor, counted func(*calls.Call, audit.Event) error, visit func(*calls.Call) error) error {
	f := folder{open: map[string]*calls.Call{}, counted: counted}
	for r, err := range from.Read(ctx, begin) {
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		c := f.fold(r)
		if f.err != nil {
			return f.err
		}
		if c != nil {
			if err := visit(c); err != nil {
				return err
			}
		}
	}
	for _, c := range f.open {
		if err := visit(c); err != nil {
			return err
		}
	}
	return nil
}

// errRedacted says that the record has not all of what a call was made with.
var errRedacted = errors.New("some of the arguments are redacted")

// arguments are those that a call ran with, or would have: as an approver left them.
func arguments(ctx context.Context, from audit.Payloads, c *calls.Call) (tools.Arguments, error) {
	if c.Intent.Redacted != nil {
		return tools.Arguments{}, errRedacted
	}
	commitment, at := c.Arguments()
	p, err := from.Payload(ctx, at, audit.PayloadArguments)
	if err != nil {
		return tools.Arguments{}, err
	}
	if !commitment.Matches(p) {
		return tools.Arguments{}, fmt.Errorf("%w: the arguments of call %s are not what its intent commits to", audit.ErrCorrupt, c.ID)
	}
	return tools.ParseArguments(p.Body)
}

// Tools are the tools as the history remembers them, in the domains in which they
// were called. Domains names those of upstreams; one that it does not name and that was
// never called is taken for a domain of its own.
func Tools(ctx context.Context, from History, domains map[string]string) ([]policy.Tool, error) {
	pins, err := pinned(ctx, from)
	if err != nil {
		return nil, err
	}
	if domains, err = findDomains(ctx, from, pins, domains); err != nil {
		return nil, err
	}
	var known []policy.Tool
	for name, at := range pins {
		upstream, own, _ := strings.Cut(name, ".")
		p, err := from.Payload(ctx, at, audit.PayloadDefinition)
		if errors.Is(err, audit.ErrErased) {
			continue // nobody can say what fits it
		}
		if err != nil {
			return nil, fmt.Errorf("read definition of %s: %w", name, err)
		}
		d, err := tools.ParseDefinition(p.Body)
		if err != nil {
			return nil, fmt.Errorf("read definition of %s: %w", name, err)
		}
		known = append(known, policy.Tool{
			Upstream: upstream, Domain: domains[upstream], Name: own, InputSchema: d.InputSchema,
			Annotations: policy.Annotations{
				ReadOnly: d.Annotations.ReadOnly, Destructive: d.Annotations.Destructive,
				Idempotent: d.Annotations.Idempotent, OpenWorld: d.Annotations.OpenWorld,
			},
		})
	}
	return known, nil
}

// pinned is where each tool's definition was pinned last.
func pinned(ctx context.Context, from History) (map[string]audit.Position, error) {
	pins := map[string]audit.Position{}
	err := control(ctx, from, func(r audit.Record, e audit.Event) {
		if pin, err := audit.DataOf[audit.Pin](e); err == nil && e.Type == audit.ToolPinned {
			pins[pin.Tool] = r.Position
		}
	})
	return pins, err
}

// control visits the events of the control log.
func control(ctx context.Context, from History, visit func(audit.Record, audit.Event)) error {
	sizes, err := from.Sizes(ctx)
	if err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	for i := range sizes[controlLog] {
		r, err := from.Record(ctx, audit.Position{Log: controlLog, Index: i})
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		if e, err := r.Event(); err == nil { // what is no event is for the verifier to tell
			visit(r, e)
		}
	}
	return nil
}

// findDomains completes the domains of the pinned upstreams by those of their calls.
func findDomains(ctx context.Context, from History, pins map[string]audit.Position, domains map[string]string) (map[string]string, error) {
	found, missing := map[string]string{}, map[string]bool{}
	for name := range pins {
		upstream, _, _ := strings.Cut(name, ".")
		if found[upstream] = domains[upstream]; domains[upstream] == "" {
			missing[upstream] = true
		}
	}
	for r, err := range from.Read(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		if len(missing) == 0 {
			return found, nil
		}
		if head, err := audit.Peek(r.Stored); err != nil || head.Type != audit.CallIntent {
			continue
		}
		e, err := r.Event()
		if err != nil {
			continue
		}
		in, err := audit.DataOf[audit.Intent](e)
		if err != nil {
			continue
		}
		if upstream, _, _ := strings.Cut(in.Tool, "."); missing[upstream] {
			found[upstream] = e.Domain
			delete(missing, upstream)
		}
	}
	for upstream := range missing {
		found[upstream] = upstream
	}
	return found, nil
}

// LastPolicies are the policy files that were put in force last.
func LastPolicies(ctx context.Context, from History) ([]policy.File, error) {
	var at audit.Position
	var last audit.Activation
	err := control(ctx, from, func(r audit.Record, e audit.Event) {
		if a, err := audit.DataOf[audit.Activation](e); err == nil && e.Type == audit.PolicyActivated {
			at, last = r.Position, a
		}
	})
	if err != nil || at.Log == "" {
		return nil, err
	}
	p, err := from.Payload(ctx, at, audit.PayloadPolicy)
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	return filesOf(p.Body, last.Files)
}

// Activation is a set of policies that was put in force.
type Activation struct {
	At    time.Time
	Files []policy.File // none if their text has been erased
}

// Activations are the sets of policies that were put in force, in their order.
func Activations(ctx context.Context, from History) ([]Activation, error) {
	var list []Activation
	var failed error
	err := control(ctx, from, func(r audit.Record, e audit.Event) {
		a, err := audit.DataOf[audit.Activation](e)
		if e.Type != audit.PolicyActivated || err != nil {
			return
		}
		p, err := from.Payload(ctx, r.Position, audit.PayloadPolicy)
		var files []policy.File
		if err == nil {
			files, err = filesOf(p.Body, a.Files)
		}
		if err != nil && !errors.Is(err, audit.ErrErased) {
			failed = errors.Join(failed, fmt.Errorf("read policies: %w", err))
		}
		list = append(list, Activation{At: e.Time, Files: files})
	})
	return list, errors.Join(err, failed)
}

// Each visits the calls that were opened between two times: those that ended in the
// order of their end, then those that are open.
func Each(ctx context.Context, from History, o Options, visit func(*calls.Call) error) error {
	return each(ctx, from, o.From, nil, func(c *calls.Call) error {
		if c.Opening.Time.Before(o.Since) || (!o.Until.IsZero() && !c.Opening.Time.Before(o.Until)) {
			return nil
		}
		return visit(c)
	})
}
