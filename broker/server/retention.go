package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit"
)

// retainEvery is how often what has outlived its retention is looked for.
const retainEvery = 24 * time.Hour

// maxWeighed is how many records are looked at together while there are legal holds:
// the event names those that stay.
const maxWeighed = 4000

// eraser is a log whose payloads the broker erases; Pulsar's go by themselves.
type eraser interface {
	audit.Eraser
	Outlived(ctx context.Context, log string, after int64, before time.Time) (from, to int64, err error)
	Unerased(ctx context.Context, log string, from, to int64) ([]int64, error)
	EraseOutlived(ctx context.Context, log string, from, to int64) error
}

// retain erases, until ctx is done, the payloads that have outlived their domain's
// payload_retention, and removes the records that have outlived its retention. What fails is told, and tried again the next time.
func (s *Server) retain(ctx context.Context) error {
	log, ok := s.log.(eraser)
	if !ok {
		return nil
	}
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		if err := s.retainOnce(ctx, log, time.Now().UTC()); err != nil && ctx.Err() == nil {
			s.opt.Logger.LogAttrs(ctx, slog.LevelError, "retention not carried out", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// retainOnce does what is due at a moment, once the history knows of all of it.
func (s *Server) retainOnce(ctx context.Context, log eraser, now time.Time) error {
	if err := s.awaitKnown(ctx, now.Add(-s.shortest())); err != nil {
		return err
	}
	var errs []error
	for name, domain := range s.cfg.Domains {
		before := now.Add(-domain.PayloadRetention.Duration)
		if err := s.eraseOutlived(ctx, log, name+"/"+audit.TopicCalls, before); err != nil {
			errs = append(errs, fmt.Errorf("erase payloads of %s: %w", name, err))
		}
	}
	return errors.Join(append(errs, s.removeOutlived(ctx, now))...)
}

// eraseOutlived erases a log's payloads that are older than a moment: on record first,
// then in the history, then in the log. Whatever ends it in between, the next one
// begins with what the log still has. What is under a legal hold stays, and so does what
// people are still to decide on.
func (s *Server) eraseOutlived(ctx context.Context, log eraser, name string, before time.Time) error {
	for after := int64(0); ; {
		from, to, err := log.Outlived(ctx, name, after, before)
		if err != nil || from == to {
			return err
		}
		if s.broker.HoldsInForce().Len() > 0 || s.broker.WaitingSince(before) {
			to = min(to, from+maxWeighed)
			err = s.eraseUnheld(ctx, log, audit.Erasure{Log: name, From: from, To: to, Before: before})
		} else {
			err = s.eraseAll(ctx, log, audit.Erasure{Log: name, From: from, To: to, Before: before})
		}
		if err != nil {
			return err
		}
		after = to
	}
}

func (s *Server) eraseAll(ctx context.Context, log eraser, e audit.Erasure) error {
	if err := s.broker.RecordErasure(ctx, e); err != nil {
		return err
	}
	ids, err := s.callsOf(ctx, e.Log, e.From, e.To)
	if err != nil {
		return err
	}
	if err := s.index.Erased(ctx, nil, ids...); err != nil {
		return err
	}
	if err := log.EraseOutlived(ctx, e.Log, e.From, e.To); err != nil {
		return err
	}
	s.tellErased(ctx, e, len(ids))
	return nil
}

// eraseUnheld is eraseAll but for what is under a legal hold or waits for people, or may.
func (s *Server) eraseUnheld(ctx context.Context, log eraser, e audit.Erasure) error {
	left, err := log.Unerased(ctx, e.Log, e.From, e.To)
	if err != nil {
		return err
	}
	held := map[string]bool{} // by call
	gone := map[string]bool{}
	var indexes []int64
	for _, i := range left {
		id, err := s.callAt(ctx, audit.Position{Log: e.Log, Index: i})
		if err != nil {
			return err
		}
		if _, known := held[id]; !known && id != "" {
			if held[id], err = s.isKept(ctx, id); err != nil {
				return err
			}
		}
		if held[id] {
			e.Except = append(e.Except, i)
			continue
		}
		gone[id], indexes = true, append(indexes, i)
	}
	if len(indexes) == 0 {
		return nil
	}
	if err := s.broker.RecordErasure(ctx, e); err != nil {
		return err
	}
	if err := s.index.Erased(ctx, nil, sortedKeys(gone)...); err != nil {
		return err
	}
	if err := log.EraseRecords(ctx, audit.Places{Log: e.Log, Indexes: indexes}); err != nil {
		return err
	}
	s.tellErased(ctx, e, len(gone))
	return nil
}

func (s *Server) tellErased(ctx context.Context, e audit.Erasure, n int) {
	s.opt.Logger.LogAttrs(ctx, slog.LevelInfo, "payloads erased that have outlived their retention",
		slog.String("log", e.Log), slog.Time("before", e.Before), slog.Int("calls", n), slog.Int("held_records", len(e.Except)))
}

// isKept reports whether a call is under a legal hold, or open. One of which the history
// does not know yet may be.
func (s *Server) isKept(ctx context.Context, id string) (bool, error) {
	c, _, err := s.folded(ctx, id)
	if errors.Is(err, audit.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, held := s.broker.HoldsInForce().Covering(c)
	return held || c.Open(), nil
}

// erase carries an erasure out that is on record: from the history, then from the log.
func (s *Server) erase(ctx context.Context, e audit.Erasure) error {
	if err := s.index.Forget(ctx, e.Calls...); err != nil {
		return err
	}
	return s.log.EraseRecords(ctx, e.Records...)
}

// callAt is the id of the call that a record is about; empty if it is about none.
func (s *Server) callAt(ctx context.Context, p audit.Position) (string, error) {
	record, err := s.log.Record(ctx, p)
	if err != nil {
		return "", fmt.Errorf("find the call of a record: %w", err)
	}
	head, err := audit.Peek(record.Stored)
	if err != nil {
		return "", nil //nolint:nilerr // the verifier reports what cannot be read
	}
	return head.Subject, nil
}

// callsOf are the calls that records are about, each once.
func (s *Server) callsOf(ctx context.Context, log string, from, to int64) ([]string, error) {
	seen := map[string]bool{}
	for n := from; n < to; n++ {
		id, err := s.callAt(ctx, audit.Position{Log: log, Index: n})
		if err != nil {
			return nil, err
		}
		if id != "" {
			seen[id] = true
		}
	}
	return sortedKeys(seen), nil
}
