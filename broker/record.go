package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// This file is the only place that turns what the broker knows into events.

// recorded is an identity as events carry it.
func recorded(id *agents.Identity) audit.Identity {
	r := audit.Identity{
		Issuer: id.Issuer, Principal: id.Principal, Roles: id.Roles, Scopes: id.Scopes, ACR: id.ACR,
		Session: id.Session, TokenID: id.TokenID, KeyID: id.KeyID, Token: id.TokenDigest, Expires: id.Expires.UTC(),
	}
	if !id.IssuedAt.IsZero() {
		r.Issued = id.IssuedAt.UTC()
	}
	for _, a := range id.Chain {
		r.Chain = append(r.Chain, audit.Actor{ID: a.ID, Roles: a.Roles, Registered: a.Registered})
	}
	return r
}

// verified is the identity that was recorded, as far as decisions need it.
func verified(r audit.Identity) *agents.Identity {
	id := &agents.Identity{
		Issuer: r.Issuer, Principal: r.Principal, Roles: r.Roles, Scopes: r.Scopes, ACR: r.ACR,
		Session: r.Session, TokenID: r.TokenID, KeyID: r.KeyID, TokenDigest: r.Token, IssuedAt: r.Issued, Expires: r.Expires,
	}
	for _, a := range r.Chain {
		id.Chain = append(id.Chain, agents.Actor{ID: a.ID, Roles: a.Roles, Registered: a.Registered})
	}
	return id
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// about says where an event belongs and whose call it concerns.
type about struct {
	domain    string
	topic     string
	callID    string
	who       *audit.Identity // nil for events of the broker itself
	trace     string
	statement string // of who makes the call
}

func (b *Broker) event(t audit.Type, a about, data any, payloads ...audit.Payload) (audit.Event, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return audit.Event{}, fmt.Errorf("encode %s: %w", t, err)
	}
	e := audit.Event{
		SpecVersion: "1.0", ID: newID(), Type: t, Source: b.source, Subject: a.callID,
		Time: time.Now().UTC(), DataContentType: "application/json",
		Tenant: b.cfg.Tenant, Domain: a.domain, Topic: a.topic, TraceParent: a.trace, Statement: a.statement,
		Data: body, Payloads: payloads,
	}
	if a.who != nil {
		e.Principal = a.who.Principal
		e.TokenExpires = &a.who.Expires
		if len(a.who.Chain) > 0 {
			e.Actor = a.who.Chain[0].ID
		}
	}
	return e, nil
}

// write appends one event, waiting for its acknowledgement at most AckWait, whether
// or not the client that caused it is still there.
func (b *Broker) write(ctx context.Context, t audit.Type, a about, data any, payloads ...audit.Payload) error {
	e, err := b.event(t, a, data, payloads...)
	if err != nil {
		return err
	}
	return b.append(ctx, e)
}

func (b *Broker) append(ctx context.Context, e audit.Event) error {
	return b.appendTo(ctx, b.cfg.Log, e)
}

// appender is the log, or the place of another replica in it.
type appender interface {
	Append(ctx context.Context, e audit.Event) (audit.Position, error)
}

func (b *Broker) appendTo(ctx context.Context, to appender, e audit.Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.cfg.AckWait)
	defer cancel()
	start := time.Now()
	err := store(ctx, to, e)
	b.metrics.appended(ctx, e.Type, time.Since(start), err)
	if errors.Is(err, audit.ErrFenced) {
		b.halt()
	}
	if err != nil {
		return fmt.Errorf("record %s: %w", e.Type, err)
	}
	return nil
}

// store appends an event, wherever it may stand then.
func store(ctx context.Context, to appender, e audit.Event) error {
	if s, ok := to.(audit.Storer); ok {
		return s.Store(ctx, e)
	}
	_, err := to.Append(ctx, e)
	return err
}

// aboutCall is callOf for a call as it is now: with the arguments that people have left it.
func (b *Broker) aboutCall(c calls.Call) about {
	where := b.callOf(c.ID, c.Domain, &c.Intent, c.Opening.Trace)
	where.statement = c.Statement()
	return where
}

// callOf says where events of a recorded call go.
func (b *Broker) callOf(callID, domain string, in *audit.Intent, trace string) about {
	return about{domain: domain, topic: audit.TopicCalls, callID: callID, who: &in.Identity, trace: trace, statement: in.Statement}
}
