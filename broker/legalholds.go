package broker

import (
	"context"
	"fmt"
	"strings"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/legalhold"
	"github.com/deedbroker/deed/broker/policy"
)

// maxLegalHolds bounds how many may be in force at once: each is asked about each call
// that is to go.
const maxLegalHolds = 1000

// PlaceLegalHold keeps what is in a scope from retention and erasure until it is lifted,
// for a person whom policy permits it on the scope's domain, or else on the broker's
// own. It returns once this replica obeys.
func (b *Broker) PlaceLegalHold(ctx context.Context, by *agents.Identity, scope audit.Scope, reason string) (legalhold.Hold, error) {
	op := "place legal hold"
	if err := known(op, by); err != nil {
		return legalhold.Hold{}, err
	}
	switch {
	case scope.Empty():
		return legalhold.Hold{}, &Error{Kind: Invalid, Op: op, Public: "a legal hold names what it holds: a call, principal, agent, session, domain or time"}
	case strings.TrimSpace(reason) == "":
		return legalhold.Hold{}, &Error{Kind: Invalid, Op: op, Public: "a legal hold needs a reason: it is what the record will say"}
	}
	d := b.mayHold(by, scope)
	if d.Effect != audit.Allow {
		return legalhold.Hold{}, b.refuseControl(ctx, by, policy.ActionLegalHold, scope.String(), d)
	}
	if b.keeping.holds.Len() >= maxLegalHolds {
		return legalhold.Hold{}, &Error{Kind: Overloaded, Op: op, Public: fmt.Sprintf("%d legal holds are in force, as many as there may be: lift some", maxLegalHolds)}
	}
	data := audit.LegalHold{Scope: scope, Reason: clip(reason, maxReason), By: recorded(by), Decision: d}
	e, err := b.event(audit.LegalHoldPlaced, control(), data)
	if err == nil {
		err = b.append(ctx, e)
	}
	if err != nil {
		return legalhold.Hold{}, notRecorded(op, "legal hold", err)
	}
	b.awaitFold(ctx, b.keeping.wait, func() bool { _, held := b.keeping.holds.Get(e.ID); return held })
	return legalhold.Hold{LegalHold: data, ID: e.ID, Placed: e.Time}, nil
}

// LiftLegalHold ends a legal hold, for a person who could place it.
func (b *Broker) LiftLegalHold(ctx context.Context, by *agents.Identity, id, reason string) error {
	op := "lift legal hold"
	if err := known(op, by); err != nil {
		return err
	}
	h, ok := b.keeping.holds.Get(id)
	if !ok {
		return &Error{Kind: NotFound, Op: op, Public: "no legal hold in force has this id"}
	}
	d := b.mayHold(by, h.Scope)
	if d.Effect != audit.Allow {
		return b.refuseControl(ctx, by, "lift "+policy.ActionLegalHold, h.Scope.String(), d)
	}
	data := audit.LegalHoldEnd{Hold: id, Reason: clip(reason, maxReason), By: recorded(by), Decision: d}
	if err := b.write(ctx, audit.LegalHoldLifted, control(), data); err != nil {
		return notRecorded(op, "lifting", err)
	}
	b.awaitFold(ctx, b.keeping.wait, func() bool { _, still := b.keeping.holds.Get(id); return !still })
	return nil
}

// LegalHolds are those in force that the viewer may know of: all for readers of the
// broker's own domain, else what they could place themselves.
func (b *Broker) LegalHolds(viewer *agents.Identity) []legalhold.Hold {
	reads := b.MayRead(viewer, Subject{Domain: audit.OwnDomain})
	var list []legalhold.Hold
	for _, h := range b.keeping.holds.All() {
		if reads || b.mayHold(viewer, h.Scope).Effect == audit.Allow {
			list = append(list, h)
		}
	}
	return list
}

// HoldsInForce are the legal holds, for whoever erases or retires.
func (b *Broker) HoldsInForce() *legalhold.Book { return &b.keeping.holds }

func (b *Broker) mayHold(by *agents.Identity, scope audit.Scope) audit.Decision {
	domain := scope.Domain
	if domain == "" {
		domain = audit.OwnDomain
	}
	return b.permits(by, policy.ActionLegalHold, policy.OnDomain{Name: domain})
}
