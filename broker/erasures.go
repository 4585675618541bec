package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/legalhold"
	"github.com/deedbroker/deed/broker/policy"
)

// MaxErasure is how many calls one request can erase: what fits one event, and one
// request's time.
const MaxErasure = 500

// Erasable is a call, as its records come to, and where all of them stand.
type Erasable struct {
	Call    calls.Call
	Records []audit.Position
}

// ErasureRequest asks for the arguments and results of calls to be erased.
type ErasureRequest struct {
	By     *agents.Identity // must be a person whom policy permits it on every call
	Scope  audit.Scope      // that the calls are in
	Reason string
	Calls  []Erasable // at most MaxErasure
}

// ErasureExtent is what an erasure comes to.
type ErasureExtent struct {
	Calls    int   // whose payloads go
	Payloads int   // that their events commit to, those that are gone already too
	Bytes    int64 // of these
	// Cancelled are those of the calls that wait for people, and do not any more: what they
	// would run with goes.
	Cancelled int
	Open      int // calls that run, and keep theirs
	Held      []HeldBack
}

// HeldBack is a call that a legal hold keeps as it is.
type HeldBack struct {
	CallID string
	Hold   legalhold.Hold
}

// RecordErasure records that payloads are about to be erased, since they have outlived
// their retention. Whoever erases them does it only if this returns without an error.
func (b *Broker) RecordErasure(ctx context.Context, e audit.Erasure) error {
	return b.write(ctx, audit.PayloadsErased, control(), e)
}

// RecordRemoval records that a log's oldest records are about to be removed. When it
// returns, the legal holds that stand before that in the log are in force.
func (b *Broker) RecordRemoval(ctx context.Context, r audit.Removal) error {
	e, err := b.event(audit.RecordsRemoved, control(), r)
	if err != nil {
		return fmt.Errorf("record removal: %w", err)
	}
	read, done := b.keeping.await(e.ID)
	defer done()
	if err := b.append(ctx, e); err != nil {
		return fmt.Errorf("record removal: %w", err)
	}
	if !b.awaitFold(ctx, b.keeping.wait, read) {
		return fmt.Errorf("record removal: %w: it was not read back in time", audit.ErrUnavailable)
	}
	return nil
}

// PreviewErasure tells what [Broker.Erase] would do, and does nothing. It fails with
// Denied where that would for want of a permission.
func (b *Broker) PreviewErasure(r ErasureRequest) (ErasureExtent, error) {
	op := "preview erasure"
	if err := known(op, r.By); err != nil {
		return ErasureExtent{}, err
	}
	if d := b.mayErase(r); d.Effect != audit.Allow {
		return ErasureExtent{}, &Error{Kind: Denied, Op: op, Public: denialText(d), Decision: &d}
	}
	for i := range r.Calls {
		b.refresh(&r.Calls[i].Call)
	}
	_, extent := b.weighErasure(r)
	for i := range r.Calls {
		if c := &r.Calls[i].Call; c.State == calls.Held && !b.isHeldBack(c) {
			extent.Open--
			extent.Cancelled++
			extent.Calls++
			extent.add(c)
		}
	}
	return extent, nil
}

// Erase records who erases what and why, and then erases all payloads of the calls that
// are closed, from the log and from the history. A call that waits for people is cancelled
// first, since what they would approve is what goes; one that runs keeps its own. What is
// under a legal hold is refused, and all else of the request with it. It returns once they are gone: an error after
// they were recorded says so, and the next start of this replica tries again.
func (b *Broker) Erase(ctx context.Context, r ErasureRequest) (ErasureExtent, error) {
	op := "erase " + r.Scope.String()
	if err := known(op, r.By); err != nil {
		return ErasureExtent{}, err
	}
	switch {
	case b.cfg.Erase == nil:
		return ErasureExtent{}, &Error{Kind: Internal, Op: op, Public: "this log cannot erase"}
	case strings.TrimSpace(r.Reason) == "":
		return ErasureExtent{}, &Error{Kind: Invalid, Op: op, Public: "an erasure needs a reason: it is what the record will say"}
	case len(r.Calls) > MaxErasure:
		return ErasureExtent{}, &Error{Kind: Invalid, Op: op, Public: fmt.Sprintf("at most %d calls at once", MaxErasure)}
	}
	d := b.mayErase(r)
	if d.Effect != audit.Allow {
		return ErasureExtent{}, b.refuseControl(ctx, r.By, policy.ActionErase, r.Scope.String(), d)
	}
	if _, extent := b.weighErasure(r); len(extent.Held) > 0 {
		return extent, b.refuseControl(ctx, r.By, policy.ActionErase, r.Scope.String(), b.holdDecision(extent.Held))
	}
	cancelled, err := b.cancelHeld(ctx, op, r)
	if err != nil {
		return ErasureExtent{}, err
	}
	data, extent := b.weighErasure(r)
	if extent.Cancelled = cancelled; len(data.Calls) == 0 {
		return extent, nil
	}
	by := recorded(r.By)
	data.Scope, data.Reason, data.By, data.Decision = &r.Scope, clip(r.Reason, maxReason), &by, &d
	return extent, b.carryOut(ctx, op, r, data)
}

// refresh is a call as it stands here, if it waits for people or did lately.
func (b *Broker) refresh(c *calls.Call) {
	if h := b.holds.get(c.ID); h != nil && c.Open() {
		*c, _ = h.snapshot()
	}
}

func (b *Broker) isHeldBack(c *calls.Call) bool {
	_, held := b.keeping.holds.Covering(c)
	return held
}

// cancelHeld ends the calls of a request that wait for people, and counts them. One that is
// released first runs, and stays.
func (b *Broker) cancelHeld(ctx context.Context, op string, r ErasureRequest) (n int, err error) {
	for i := range r.Calls {
		c := &r.Calls[i].Call
		h := b.holds.get(c.ID)
		if b.refresh(c); h == nil || c.State != calls.Held {
			continue
		}
		by := recorded(r.By)
		out := audit.Outcome{Code: audit.CodeErased, Reason: clip("its arguments are erased: "+r.Reason, maxReason), By: &by}
		if _, err := b.writeAbout(ctx, *c, audit.CallCancelled, out); err != nil {
			return n, notRecorded(op, "cancellation of a held call", err)
		}
		if *c = b.counted(ctx, h, func(calls.Call) bool { return false }); c.Closing.Type == audit.CallCancelled {
			n++
		}
	}
	return n, nil
}

// mayErase asks policy about every call, and about none in particular if there are none.
func (b *Broker) mayErase(r ErasureRequest) audit.Decision {
	if len(r.Calls) == 0 {
		return b.permits(r.By, policy.ActionErase, policy.OnCall{ID: "none", Tool: "deed.none", Domain: audit.OwnDomain})
	}
	var d audit.Decision
	for _, c := range r.Calls {
		if d = b.permits(r.By, policy.ActionErase, resourceOf(c.Call)); d.Effect != audit.Allow {
			break
		}
	}
	return d
}

// weighErasure says what goes and what stays.
func (b *Broker) weighErasure(r ErasureRequest) (audit.Erasure, ErasureExtent) {
	var data audit.Erasure
	places := map[string][]int64{}
	var extent ErasureExtent
	for i := range r.Calls {
		c := &r.Calls[i].Call
		if h, held := b.keeping.holds.Covering(c); held {
			extent.Held = append(extent.Held, HeldBack{c.ID, h})
			continue
		}
		if c.Open() {
			extent.Open++
			continue
		}
		extent.Calls++
		extent.add(c)
		data.Calls = append(data.Calls, c.ID)
		for _, p := range r.Calls[i].Records {
			places[p.Log] = append(places[p.Log], p.Index)
		}
	}
	for _, log := range slices.Sorted(maps.Keys(places)) {
		data.Records = append(data.Records, audit.Places{Log: log, Indexes: places[log]})
	}
	return data, extent
}

func (x *ErasureExtent) add(c *calls.Call) {
	all := []audit.Commitment{c.Intent.Arguments}
	for _, e := range c.Edits {
		all = append(all, e.Arguments)
	}
	if c.Outcome.Output != nil {
		all = append(all, *c.Outcome.Output)
	}
	for _, p := range all {
		if p.Digest != "" {
			x.Payloads++
			x.Bytes += p.Size
		}
	}
}

// holdDecision is why what is under a legal hold cannot be erased.
func (b *Broker) holdDecision(held []HeldBack) audit.Decision {
	d := audit.Decision{Effect: audit.Deny, PolicySet: b.cfg.Policies.Set().Digest()}
	seen := map[string]bool{}
	for _, h := range held {
		if !seen[h.Hold.ID] {
			seen[h.Hold.ID] = true
			d.Reasons = append(d.Reasons, audit.Reason{
				Policy: "legal-hold", Effect: "forbid",
				Text: fmt.Sprintf("call %s is under legal hold %s (%s): %s", h.CallID, h.Hold.ID, h.Hold.Scope, h.Hold.Reason),
			})
		}
	}
	return d
}

// carryOut records an erasure and does it. A legal hold that stands before it in the log
// counts, although this replica may not have known of it when it was asked.
func (b *Broker) carryOut(ctx context.Context, op string, r ErasureRequest, data audit.Erasure) error {
	e, err := b.event(audit.PayloadsErased, control(), data)
	if err != nil {
		return &Error{Kind: Internal, Op: op, Err: err}
	}
	read, done := b.keeping.await(e.ID)
	defer done()
	if err := b.append(ctx, e); err != nil {
		return notRecorded(op, "erasure", err)
	}
	ctx = context.WithoutCancel(ctx)
	if !b.awaitFold(ctx, b.keeping.wait, read) {
		return notErased(op, context.DeadlineExceeded)
	}
	if _, extent := b.weighErasure(r); len(extent.Held) > 0 {
		b.keeping.carriedOut(e.ID)
		return b.refuseControl(ctx, r.By, policy.ActionErase, r.Scope.String(), b.holdDecision(extent.Held))
	}
	if err := b.cfg.Erase(ctx, data); err != nil {
		return notErased(op, err)
	}
	b.keeping.carriedOut(e.ID)
	return nil
}

func notErased(op string, err error) error {
	public := "the erasure is on record, and could not be finished: the broker tries again when it starts, or ask again"
	if errors.Is(err, audit.ErrResidue) {
		public = "erased on record, and nobody can read it by way of Deed any more; but Pulsar still has the old keys: " +
			"have an administrator run `deed topics purge`, or give the broker's role the administration of the tenant and ask again"
	}
	return &Error{Kind: Internal, Op: op, Err: err, Public: public}
}

// finishErasures carries out what this replica had recorded and not finished when it
// ended. What is under a legal hold by now is left alone.
func (b *Broker) finishErasures(ctx context.Context, due map[string]audit.Erasure) {
	if b.cfg.Erase == nil {
		return
	}
	for id, data := range due {
		var err error
		if held := b.heldAmong(ctx, data); len(held) > 0 {
			err = fmt.Errorf("call %s is under legal hold", held[0])
		} else {
			err = b.cfg.Erase(ctx, data)
		}
		if err != nil && ctx.Err() == nil {
			b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "erasure on record not carried out", slog.String("event", id), slog.Any("error", err))
			continue
		}
		b.keeping.carriedOut(id)
	}
}

// heldAmong are the calls of an erasure that are under a legal hold, or of which that
// cannot be told.
func (b *Broker) heldAmong(ctx context.Context, data audit.Erasure) []string {
	if b.keeping.holds.Len() == 0 {
		return nil
	}
	folded := map[string]*calls.Call{}
	for _, places := range data.Records {
		for _, i := range places.Indexes {
			b.foldRecord(ctx, audit.Position{Log: places.Log, Index: i}, folded)
		}
	}
	var held []string
	for _, id := range data.Calls {
		c := folded[id]
		if c == nil {
			held = append(held, id)
		} else if _, under := b.keeping.holds.Covering(c); under {
			held = append(held, id)
		}
	}
	return held
}

// recordsByPlace is a log that gives single records.
type recordsByPlace interface {
	Record(ctx context.Context, p audit.Position) (audit.Record, error)
}

func (b *Broker) foldRecord(ctx context.Context, p audit.Position, into map[string]*calls.Call) {
	log, ok := b.cfg.Log.(recordsByPlace)
	if !ok {
		return
	}
	r, err := log.Record(ctx, p)
	if err != nil {
		return
	}
	e, err := r.Event()
	if err != nil {
		return
	}
	c := into[e.Subject]
	if c == nil {
		c = &calls.Call{}
	}
	if _, err := c.Apply(e, p); err == nil {
		into[e.Subject] = c
	}
}
