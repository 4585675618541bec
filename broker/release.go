package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// consider looks, in the background, whether the votes so far lift the hold. One
// look at a time: a vote that comes meanwhile makes it look again. A broker that
// stops leaves it to the next one.
func (b *Broker) consider(h *hold) {
	select {
	case <-b.flights.stopping:
		return
	default:
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.deciding {
		h.again = true
		return
	}
	h.deciding = true
	b.work.Go(func() {
		for {
			before, _ := h.snapshot()
			b.decideHeld(b.live, h)
			h.mu.Lock()
			h.weighed = len(before.Votes)
			h.change()
			if !h.again {
				h.deciding = false
				h.mu.Unlock()
				return
			}
			h.again = false
			h.mu.Unlock()
		}
	})
}

// weighed waits until the votes so far have been acted on: the hold is over, or it is
// known that they do not suffice.
func (b *Broker) weighed(ctx context.Context, h *hold) calls.Call {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		h.mu.Lock()
		c, changed, done := h.call, h.changed, h.weighed >= len(h.call.Votes)
		h.mu.Unlock()
		if done || c.State != calls.Held {
			return c
		}
		select {
		case <-changed:
		case <-b.flights.stopping:
			return c
		case <-ctx.Done():
			return c
		}
	}
}

// ruling is what becomes of a held call; the zero ruling leaves it held.
type ruling struct {
	typ  audit.Type
	data any
}

func cancelled(code, reason string, d *audit.Decision) ruling {
	return ruling{audit.CallCancelled, audit.Outcome{Code: code, Reason: clip(reason, maxReason), Decision: d}}
}

// decideHeld asks the policy of this moment again, with the votes counted, and
// writes what follows. A log that is away is tried again until the hold is over.
func (b *Broker) decideHeld(ctx context.Context, h *hold) {
	for wait := firstRetry; ctx.Err() == nil; wait = min(2*wait, lastRetry) {
		c, _ := h.snapshot()
		withdrawn, _ := h.flags()
		if c.State != calls.Held || time.Now().After(c.Deadline()) || !withdrawn && len(c.Votes) == 0 && !b.mustStop(&c) {
			return
		}
		r, err := b.rule(ctx, h, c)
		if err == nil && r.typ == "" {
			return // still held
		}
		if err == nil {
			err = b.settle(ctx, h, c, r)
		}
		if err == nil {
			b.settled(ctx, h, c)
			return
		}
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "held call not decided yet", slog.String("call_id", c.ID), slog.Any("error", err))
		if errors.Is(err, audit.ErrUncertain) {
			b.settled(ctx, h, c) // it may be there, and tell
		}
		pause(ctx, wait)
	}
}

// rule says what becomes of a held call now. Once a release of ours may be in the
// log nothing may follow it that says the call was not executed: the call is
// released, or expires.
func (b *Broker) rule(ctx context.Context, h *hold, c calls.Call) (ruling, error) {
	withdrawn, releasing := h.flags()
	var r ruling
	if withdrawn {
		r = ruling{audit.CallCancelled, outcomeUnacknowledged()}
	} else {
		var err error
		if r, err = b.verdict(ctx, h, c); err != nil {
			return ruling{}, err
		}
	}
	if releasing && r.typ == audit.CallCancelled {
		return ruling{}, nil
	}
	return r, nil
}

// settle writes what the votes led to, unless the hold is over by then.
func (b *Broker) settle(ctx context.Context, h *hold, c calls.Call, r ruling) error {
	e, err := b.event(r.typ, b.aboutCall(c), r.data)
	if err != nil {
		return err
	}
	if r.typ == audit.CallReleased && e.Time.After(c.Deadline()) {
		return nil
	}
	err = b.append(ctx, e)
	if r.typ == audit.CallReleased && (err == nil || errors.Is(err, audit.ErrUncertain)) {
		h.markReleasing(c.Digest())
	}
	return err
}

// settled waits until what was written of a held call is folded, so that the next look
// sees it, or until an edit has come before it.
func (b *Broker) settled(ctx context.Context, h *hold, written calls.Call) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		c, changed := h.snapshot()
		if c.State != calls.Held || c.Digest() != written.Digest() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// verdict says what the votes on a held call lead to: that it is released, that it
// is cancelled because something changed, or nothing while it stays held.
//
// An approval stands only while its voter could still cast it: the policy of this
// moment is asked about each. Votes that do not stand do not count, and if the call
// would wait for others because of that, it ends.
func (b *Broker) verdict(ctx context.Context, h *hold, c calls.Call) (ruling, error) {
	if why, stop := b.stopped(&c); stop {
		return cancelled(audit.CodeRevokedUnrun, why, nil), nil
	}
	args, err := b.arguments(ctx, h, c)
	if errors.Is(err, errRedacted) {
		return b.unknownHere(c), nil
	}
	if errors.Is(err, audit.ErrErased) {
		return cancelled(audit.CodeErased, "its arguments have been erased", nil), nil
	}
	if err != nil {
		return ruling{}, err
	}
	t := b.unchanged(c)
	if t == nil {
		return cancelled(audit.CodeChanged, "the tool is no longer what it was when it was called", nil), nil
	}
	if r := b.unreconciled(ctx, c.Intent, t, args.Canonical); r != nil {
		return cancelled(audit.CodeUnreconciled, r.public, nil), r.err
	}
	votes, fallen := b.standing(c)
	d, failed := b.decide(c.ID, t, args, c.Intent.Identity, approvals(votes))
	switch {
	case failed != nil:
		return cancelled(audit.CodeChanged, "the policy cannot be evaluated on it any more", &d), nil //nolint:nilerr // the ruling records the failure
	case d.Effect == audit.Allow && slices.ContainsFunc(votes, func(v calls.Vote) bool { return !c.EditedBy(v.By) }):
		if r, err := b.askInForce(ctx, c); err != nil || r.typ != "" {
			return r, err
		}
		r := audit.Release{Decision: d, Digest: c.Digest()}
		for _, v := range votes {
			r.Approvals = append(r.Approvals, v.ID)
		}
		return ruling{audit.CallReleased, r}, nil
	case d.Effect != audit.Deny && len(fallen) == 0: // more approvals, or that of another than the editor
		return ruling{}, nil
	case d.Effect == audit.Deny:
		return cancelled(audit.CodeChanged, "the policy denies it now, whatever people say: "+denialText(d), &d), nil
	default:
		return cancelled(audit.CodeChanged, "an approval does not stand any more, the policy has changed since: that of "+strings.Join(fallen, ", "), &d), nil
	}
}

// askInForce cancels a call whose token the issuer does not want any more. A call whose
// issuer cannot be asked stays held, and is looked at again.
func (b *Broker) askInForce(ctx context.Context, c calls.Call) (ruling, error) {
	if b.cfg.InForce == nil {
		return ruling{}, nil
	}
	err := b.cfg.InForce(ctx, verified(c.Intent.Identity))
	if err == nil {
		return ruling{}, nil
	}
	if refused, ok := errors.AsType[*agents.Rejection](err); ok && !refused.Temporary() {
		return cancelled(audit.CodeRevokedUnrun, "the issuer says that the token of the call is not in force any more", nil), nil
	}
	return ruling{}, fmt.Errorf("ask the issuer: %w", err)
}

// unchanged is the tool as it was when it was called; nil if it is not that any more.
func (b *Broker) unchanged(c calls.Call) *tools.Tool {
	t, err := b.cfg.Catalogue.Lookup(c.Intent.Tool)
	if err != nil || t.Digest != c.Intent.Definition {
		return nil
	}
	return t
}

// standing are the votes that their voters could still cast, and who cast the others.
func (b *Broker) standing(c calls.Call) (votes []calls.Vote, fallen []string) {
	for _, v := range c.Votes {
		if b.mayVote(verified(v.By), c).Effect == audit.Allow {
			votes = append(votes, v)
		} else {
			fallen = append(fallen, v.By.Principal)
		}
	}
	return votes, fallen
}

// approvals counts votes as policies see them.
func approvals(votes []calls.Vote) policy.Approvals {
	a := policy.Approvals{Count: len(votes)}
	for _, v := range votes {
		a.Roles = append(a.Roles, v.By.Roles...)
	}
	return a
}

// maxReadBack is how old a release may be when its replica runs the call.
const maxReadBack = 25 * time.Second

// runReleased runs a held call whose first release in the log is this replica's.
func (b *Broker) runReleased(ctx context.Context, h *hold) {
	c, _ := h.snapshot()
	where := b.aboutCall(c)
	if elapsed(c.Releasing.Time) > maxReadBack {
		b.owe(audit.CallCancelled, where, audit.Outcome{Code: audit.CodeUnacknowledged, Reason: "its release was read back too late; it was not executed"})
		return
	}
	if why, stop := b.stopped(&c); stop {
		b.owe(audit.CallCancelled, where, outcomeRevoked(why))
		return
	}
	if b.cfg.Policies.Set().Digest() != c.Release.Decision.PolicySet { // changed since the release was written
		if r, err := b.verdict(ctx, h, c); err == nil && r.typ != audit.CallReleased {
			b.owe(audit.CallCancelled, where, audit.Outcome{Code: audit.CodeChanged, Reason: "the policy changed after its release, and does not permit it any more"})
			return
		}
	}
	args, err := b.canonical(ctx, h, c)
	if err != nil {
		b.owe(audit.CallCancelled, where, audit.Outcome{Code: audit.CodeErased, Reason: "its arguments cannot be read"})
		return
	}
	t := b.unchanged(c)
	if t == nil {
		b.owe(audit.CallCancelled, where, audit.Outcome{Code: audit.CodeChanged, Reason: "the tool changed after its release"})
		return
	}
	// Whoever waits for the call learns of the outcome from the log.
	ctx = continued(ctx, c.Opening.Trace)
	in := c.Intent
	in.Statement = where.statement
	_, _ = b.execute(ctx, running{id: c.ID, domain: c.Domain, intent: &in, trace: c.Opening.Trace}, t, tools.Call{
		ID: c.ID, Arguments: args, TraceParent: c.Opening.Trace, IdempotencyKey: upstreamKey(c.Intent), Subject: h.presented(),
		Notify: h.notify, Asking: h.asking(),
	})
}
