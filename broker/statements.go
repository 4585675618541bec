package broker

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/statement"
)

const (
	// statementKeyAge is how long a replica signs statements with one key.
	statementKeyAge = 7 * 24 * time.Hour
	// retiresAfter is how much longer it could, if the next could not be announced.
	retiresAfter = 7 * 24 * time.Hour
	// maxStatementKeys bounds the keys that are published, the latest of all replicas. The
	// log has them all.
	maxStatementKeys = 1000
)

// statements sign who makes each call, and know the keys of all replicas.
type statements struct {
	key atomic.Pointer[statement.Key] // nil: nothing is stated

	mu    sync.Mutex
	known []audit.StatementKey // guarded by mu: as announced, the latest last
}

// fold reads the announcement of a key, whichever replica it is of.
func (s *statements) fold(e audit.Event) error {
	if e.Type != audit.StatementKeyAnnounced {
		return nil
	}
	a, err := audit.DataOf[audit.StatementKey](e)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.known, func(k audit.StatementKey) bool { return k.ID == a.ID }) {
		return nil
	}
	s.known = append(s.known, a)
	if len(s.known) > maxStatementKeys {
		s.known = slices.Clone(s.known[len(s.known)-maxStatementKeys:])
	}
	return nil
}

// StatementKeys are the keys with which this and all other replicas sign statements, and
// signed them lately, the latest first.
func (b *Broker) StatementKeys() statement.JWKSet {
	b.statements.mu.Lock()
	defer b.statements.mu.Unlock()
	set := statement.JWKSet{Keys: []statement.JWK{}}
	for _, a := range slices.Backward(b.statements.known) {
		set.Keys = append(set.Keys, statement.JWKOf(a))
	}
	return set
}

// newStatementKey makes a key, puts it on record, and signs with it from then on.
func (b *Broker) newStatementKey(ctx context.Context, now time.Time) error {
	if b.cfg.Keys == nil {
		return nil
	}
	key, err := statement.NewKey(now)
	if err != nil {
		return err
	}
	a, err := b.cfg.Keys.Vouch(key.Announcement(b.source, now.Add(statementKeyAge+retiresAfter)))
	if err != nil {
		return err
	}
	e, err := b.event(audit.StatementKeyAnnounced, control(), a)
	if err == nil {
		err = b.append(ctx, e)
	}
	if err == nil {
		err = b.statements.fold(e) // published before it is used, wherever this replica reads by now
	}
	if err == nil {
		b.statements.key.Store(key)
	}
	return err
}

// renewStatementKey changes keys that are old. One that cannot be announced is tried
// again at the next look; the old one is used until it retires, and then none.
func (b *Broker) renewStatementKey(ctx context.Context, now time.Time) {
	key := b.statements.key.Load()
	if key != nil && key.Age(now) < statementKeyAge {
		return
	}
	if err := b.newStatementKey(ctx, now); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "new key for statements not recorded", slog.Any("error", err))
		if key != nil && key.Age(now) > statementKeyAge+retiresAfter {
			b.statements.key.CompareAndSwap(key, nil)
		}
	}
}

// state signs who makes a call, once: its events carry what it returns, until a person
// edits its arguments.
func (b *Broker) state(callID string, in *audit.Intent) string {
	return b.signed(statement.Of(b.cfg.Tenant, callID, in, time.Now()))
}

// signed is empty where nothing is stated.
func (b *Broker) signed(c statement.Claims) string {
	key := b.statements.key.Load()
	if key == nil {
		return ""
	}
	s, err := key.Sign(c)
	if err != nil { // strings and numbers always marshal
		b.cfg.Logger.LogAttrs(b.live, slog.LevelError, "call not stated", slog.String("call_id", c.Call), slog.Any("error", err))
	}
	return s
}
