package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
)

// maxRevocations bounds how many may be in force at once. Beyond it none is written:
// what is in force stays so.
const maxRevocations = 100_000

// afterExpiry is how much longer than its longest lifetime a token can be honoured, or
// an issuer's clock be ahead.
const afterExpiry = 10 * time.Minute

// viaPerson is the channel of a revocation that a person asked for.
const viaPerson = "person"

var _ agents.Revocations = (*Broker)(nil)

// Revocation is one in force, as people see it.
type Revocation struct {
	denylist.Entry
	By   string    // the person; empty when an issuer asked for it
	Via  string    // person, or the channel by which it came
	Time time.Time // since when
}

// Revoke stops whoever e names, from its acknowledgement on and at every replica: new
// calls are refused, held ones closed, running ones cancelled, streams and sessions
// ended. It returns once this replica obeys. What is in force already, for as long, is
// returned as it is. It fails with Denied for agents and for people whom policy does
// not let do it, Invalid, Overloaded and LogUnavailable, after which trying again is safe.
func (b *Broker) Revoke(ctx context.Context, by *agents.Identity, e denylist.Entry) (Revocation, error) {
	op := "revoke " + string(e.Kind)
	if err := known(op, by); err != nil {
		return Revocation{}, err
	}
	if err := e.Validate(); err != nil {
		return Revocation{}, &Error{Kind: Invalid, Op: op, Public: err.Error()}
	}
	if strings.TrimSpace(e.Reason) == "" {
		return Revocation{}, &Error{Kind: Invalid, Op: op, Public: "a revocation needs a reason: it is what the record will say"}
	}
	d := b.mayRevoke(by, e)
	if d.Effect != audit.Allow {
		return Revocation{}, b.refuseControl(ctx, by, policy.ActionRevoke, e.String(), d)
	}
	who := recorded(by)
	return b.revoke(ctx, op, e, viaPerson, &who, &d)
}

// Signal is Revoke for what an issuer says: a logout, a token that introspection calls
// inactive, a security event. Via names the channel. What reports them has verified
// that the issuer, which e MUST name, says so; no policy is asked.
func (b *Broker) Signal(ctx context.Context, e denylist.Entry, via string) error {
	op := "revoke by " + via
	err := e.Validate()
	if err == nil && (e.Issuer == "" || via == "" || via == viaPerson) {
		err = fmt.Errorf("a signal names its issuer and its channel")
	}
	if err != nil {
		return &Error{Kind: Invalid, Op: op, Public: err.Error()}
	}
	_, err = b.revoke(ctx, op, e, via, nil, nil)
	return err
}

func (b *Broker) revoke(ctx context.Context, op string, e denylist.Entry, via string, by *audit.Identity, d *audit.Decision) (Revocation, error) {
	now := time.Now()
	if !e.Until.IsZero() && !e.Until.After(now) {
		return Revocation{}, &Error{Kind: Invalid, Op: op, Public: "the end is in the past"}
	}
	if e.Until.IsZero() && (e.Kind == denylist.Token || !e.IssuedBefore.IsZero() || via != viaPerson && e.Kind == denylist.Session) {
		e.Until = now.Add(b.cfg.TokenLifetime + afterExpiry) // what it stops has expired by then
	}
	if have, ok := b.denied.list.Covering(e, now); ok {
		return b.denied.describe(have), nil
	}
	if b.denied.list.Len() >= maxRevocations {
		return Revocation{}, &Error{
			Kind: Overloaded, Op: op, Retry: time.Minute,
			Public: fmt.Sprintf("%d revocations are in force, as many as there may be: lift some, or revoke a person or key instead of their tokens", maxRevocations),
		}
	}
	data := audit.Revocation{
		Kind: string(e.Kind), Issuer: e.Issuer, Value: e.Value, Agents: e.Agents, Reason: clip(e.Reason, maxReason),
		IssuedBefore: moment(e.IssuedBefore), Until: moment(e.Until), Via: via, By: by, Decision: d,
	}
	ev, err := b.event(audit.CallerRevoked, control(), data)
	if err == nil {
		err = b.append(ctx, ev)
	}
	if err != nil {
		return Revocation{}, notRecorded(op, "revocation", err)
	}
	b.awaitDenied(ctx, func() bool { return b.denied.folded(ev.ID) })
	e.ID, e.Reason = ev.ID, data.Reason
	made := Revocation{Entry: e, Via: via, Time: ev.Time}
	if by != nil {
		made.By = by.Principal
	}
	return made, nil
}

// Lift ends a revocation, for a person whom policy would let revoke the same.
func (b *Broker) Lift(ctx context.Context, by *agents.Identity, id, reason string) error {
	op := "lift revocation"
	if err := known(op, by); err != nil {
		return err
	}
	e, ok := b.denied.list.Get(id, time.Now())
	if !ok {
		return &Error{Kind: NotFound, Op: op, Public: "no revocation in force has this id"}
	}
	d := b.mayRevoke(by, e)
	if d.Effect != audit.Allow {
		return b.refuseControl(ctx, by, "lift", e.String(), d)
	}
	data := audit.Lifting{Revocation: id, Reason: clip(reason, maxReason), By: recorded(by), Decision: d}
	if err := b.write(ctx, audit.RevocationLifted, control(), data); err != nil {
		return notRecorded(op, "lifting", err)
	}
	b.awaitDenied(ctx, func() bool {
		_, still := b.denied.list.Get(id, time.Now())
		return !still
	})
	return nil
}

// Revocations are those in force that the viewer may read, the oldest first: all for
// readers of the broker's own domain, else what they themselves may revoke.
func (b *Broker) Revocations(viewer *agents.Identity) []Revocation {
	reads := b.MayRead(viewer, Subject{Domain: audit.OwnDomain})
	var list []Revocation
	for _, e := range b.denied.list.Entries(time.Now()) {
		if reads || b.mayRevoke(viewer, e).Effect == audit.Allow {
			list = append(list, b.denied.describe(e))
		}
	}
	return list
}

// Denied implements [agents.Revocations].
func (b *Broker) Denied(id *agents.Identity) *agents.Rejection {
	e, ok := b.denied.list.Denies(id, time.Now())
	if !ok {
		return nil
	}
	return &agents.Rejection{
		Kind: agents.Revoked, Issuer: id.Issuer, Identity: id, Revocation: e.ID, Barred: e.Barred(),
		Err: fmt.Errorf("%s is revoked", e),
	}
}

// Changed implements [agents.Revocations].
func (b *Broker) Changed() <-chan struct{} { return b.denied.list.Changed() }

// RevocationOf is what stops an agent as such, whomever it acts for.
func (b *Broker) RevocationOf(agent string) (Revocation, bool) {
	e, ok := b.denied.list.Denies(&agents.Identity{Chain: []agents.Actor{{ID: agent}}}, time.Now())
	if !ok {
		return Revocation{}, false
	}
	return b.denied.describe(e), true
}

// mayRevoke asks the policy about everybody whom an entry names. What names nobody (a
// token, a session, a key) is asked of the broker's own domain.
func (b *Broker) mayRevoke(by *agents.Identity, e denylist.Entry) audit.Decision {
	var on []policy.Resource
	switch e.Kind {
	case denylist.Agent:
		on = append(on, b.agent(e.Value))
	case denylist.Principal:
		on = append(on, policy.OnUser{ID: e.Value})
	case denylist.Chain: // who may stop one of its links for everybody may stop it here
		on = append(on, policy.OnUser{ID: e.Value})
		for _, a := range e.Agents {
			on = append(on, b.agent(a))
		}
	default:
		on = append(on, policy.OnDomain{Name: audit.OwnDomain})
	}
	var d audit.Decision
	for _, r := range on {
		if d = b.permits(by, policy.ActionRevoke, r); d.Effect == audit.Allow {
			return d
		}
	}
	return d
}

// agent is an agent as people act on it.
func (b *Broker) agent(id string) policy.OnAgent {
	if b.cfg.Agents == nil {
		return policy.OnAgent{ID: id}
	}
	roles, registered := b.cfg.Agents()[id]
	return policy.OnAgent{ID: id, Roles: roles, Registered: registered}
}

// refuseControl records that somebody asked for what they may not do.
func (b *Broker) refuseControl(ctx context.Context, by *agents.Identity, action, on string, d audit.Decision) error {
	op := action + " " + on
	if err := b.admit(ctx, op, by); err != nil {
		return err
	}
	data := audit.Refusal{Action: action, On: clip(on, maxReason), By: recorded(by), Decision: d}
	if err := b.write(ctx, audit.ControlRefused, control(), data); err != nil {
		return notRecorded(op, "refusal", err)
	}
	return &Error{Kind: Denied, Op: op, Public: denialText(d), Decision: &d}
}

func notRecorded(op, what string, err error) error {
	return &Error{
		Kind: LogUnavailable, Op: op, Err: err, Retry: 5 * time.Second,
		Public: "the " + what + " could not be recorded, so it is not in force; try again",
	}
}

// awaitDenied waits until what was just acknowledged has been folded here, or for as
// long as a call waits for the log: it is in force wherever it is read.
func (b *Broker) awaitDenied(ctx context.Context, done func() bool) {
	if !b.awaitFold(ctx, b.denied.list.Changed, done) {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a revocation is on record and not read back yet")
	}
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
