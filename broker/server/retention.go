package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit"
)

// retainEvery is how often payloads that have outlived their retention are looked for.
const retainEvery = 24 * time.Hour

// eraser is a log whose payloads the broker erases; Pulsar's go by themselves.
type eraser interface {
	Outlived(ctx context.Context, log string, before time.Time) (from, to int64, err error)
	EraseOutlived(ctx context.Context, log string, from, to int64) error
}

// retain erases, until ctx is done, the payloads that have outlived their domain's
// payload_retention. What fails is told, and tried again the next time.
func (s *Server) retain(ctx context.Context) error {
	log, ok := s.log.(eraser)
	if !ok {
		return nil
	}
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		for name, domain := range s.cfg.Domains {
			before := time.Now().Add(-domain.PayloadRetention.Duration).UTC()
			if err := s.eraseOutlived(ctx, log, name+"/"+audit.TopicCalls, before); err != nil && ctx.Err() == nil {
				s.opt.Logger.LogAttrs(ctx, slog.LevelError, "payloads not erased", slog.String("domain", name), slog.Any("error", err))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// eraseOutlived erases a log's payloads that are older than a moment: on record first,
// then in the history, then in the log. Whatever ends it in between, the next one
// begins with what the log still has.
func (s *Server) eraseOutlived(ctx context.Context, log eraser, name string, before time.Time) error {
	for {
		from, to, err := log.Outlived(ctx, name, before)
		if err != nil || from == to {
			return err
		}
		if err := s.broker.RecordErasure(ctx, audit.Erasure{Log: name, From: from, To: to, Before: before}); err != nil {
			return err
		}
		ids, err := s.callsOf(ctx, name, from, to)
		if err != nil {
			return err
		}
		if err := s.index.Erased(ctx, nil, ids...); err != nil {
			return err
		}
		if err := log.EraseOutlived(ctx, name, from, to); err != nil {
			return err
		}
		s.opt.Logger.LogAttrs(ctx, slog.LevelInfo, "payloads erased that have outlived their retention",
			slog.String("log", name), slog.Time("before", before), slog.Int("calls", len(ids)))
	}
}

// callsOf are the calls that records are about, each once.
func (s *Server) callsOf(ctx context.Context, log string, from, to int64) ([]string, error) {
	seen := map[string]bool{}
	var ids []string
	for n := from; n < to; n++ {
		record, err := s.log.Record(ctx, audit.Position{Log: log, Index: n})
		if err != nil {
			return nil, fmt.Errorf("find the calls of erased payloads: %w", err)
		}
		head, err := audit.Peek(record.Stored)
		if err != nil || head.Subject == "" || seen[head.Subject] {
			continue // the verifier reports what cannot be read
		}
		seen[head.Subject] = true
		ids = append(ids, head.Subject)
	}
	return ids, nil
}
