package server

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker/config"
)

// maxRemoved is how many records are removed by one event.
const maxRemoved = 100_000

// remover is a log whose records the broker removes; Pulsar's go by themselves.
type remover interface {
	store
	// Oldest is the index of the first record of a log that is left.
	Oldest(ctx context.Context, log string) (int64, error)
	// Remove removes the records of a log before an index, and keeps their hashes.
	Remove(ctx context.Context, log string, to int64) error
}

// removeOutlived removes the records that have outlived their domain's retention at a moment.
func (s *Server) removeOutlived(ctx context.Context, now time.Time) error {
	log, ok := s.log.(remover)
	if !ok {
		return nil
	}
	begun, err := s.removals(ctx, log)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Domains)) {
		domain := s.cfg.Domains[name]
		topics := []string{audit.TopicCalls}
		if name == audit.OwnDomain {
			topics = append(topics, audit.TopicRejections)
		}
		for _, topic := range topics {
			r := removing{Server: s, log: log, name: name + "/" + topic, domain: name, retention: domain.Retention}
			if err := r.run(ctx, begun[r.name], now.Add(-domain.Retention.Duration)); err != nil {
				errs = append(errs, fmt.Errorf("remove records of %s: %w", r.name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// shortest is the shortest retention of a domain, of its payloads or its records.
func (s *Server) shortest() time.Duration {
	least := config.DefaultPayloadRetention
	for _, d := range s.cfg.Domains {
		least = min(least, d.PayloadRetention.Duration, d.Retention.Duration)
	}
	return least
}

// knownEvery is how often it is asked whether the log is sealed and the history known.
const knownEvery = 200 * time.Millisecond

// awaitKnown waits until the log is sealed and the history has what is older than a
// moment: what is not in it yet could not be forgotten.
func (s *Server) awaitKnown(ctx context.Context, moment time.Time) error {
	tick := time.NewTicker(knownEvery)
	defer tick.Stop()
	for {
		lag, err := s.index.Behind(ctx)
		if err != nil {
			return err
		}
		sizes, err := s.log.Sizes(ctx)
		if err != nil {
			return err
		}
		if s.isSealed(sizes) && (lag.Records == 0 || lag.Newest.After(moment)) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isSealed reports whether it is known of each log how far it is sealed.
func (s *Server) isSealed(sizes map[string]int64) bool {
	for log, size := range sizes {
		if _, _, sealed := s.sealer.Latest(log); !sealed && size > 0 && log != seal.CheckpointsLog {
			return false
		}
	}
	return true
}

// removals are the furthest of those on record, by log. They may not have been carried out.
func (s *Server) removals(ctx context.Context, log remover) (map[string]audit.Removal, error) {
	sizes, err := log.Sizes(ctx)
	if err != nil {
		return nil, err
	}
	furthest := map[string]audit.Removal{}
	control := audit.OwnDomain + "/" + audit.TopicControl
	for i := range sizes[control] {
		r, err := log.Record(ctx, audit.Position{Log: control, Index: i})
		if err != nil {
			return nil, err
		}
		if head, err := audit.Peek(r.Stored); err != nil || head.Type != audit.RecordsRemoved {
			continue // what cannot be read is for the verifier to report
		}
		e, err := r.Event()
		if err != nil {
			return nil, err
		}
		data, err := audit.DataOf[audit.Removal](e)
		if err != nil {
			return nil, err
		}
		if data.To > furthest[data.Log].To {
			furthest[data.Log] = data
		}
	}
	return furthest, nil
}

// removing is the removal of one log's oldest records.
type removing struct {
	*Server

	log       remover
	name      string
	domain    string
	retention config.Duration
}

// run removes what is older than a moment: archived first where that is configured, then
// on record, then from the history, then from the log. Whatever ends it in between, the
// next one begins with what is on record and still there.
func (r removing) run(ctx context.Context, begun audit.Removal, before time.Time) error {
	first, err := r.log.Oldest(ctx, r.name)
	if err != nil {
		return err
	}
	if begun.To > first {
		if err := r.awaitKnown(ctx, begun.Before); err != nil {
			return err
		}
		if err := r.carryOut(ctx, first, begun); err != nil {
			return err
		}
		if first, err = r.log.Oldest(ctx, r.name); err != nil || first < begun.To {
			return err // a legal hold keeps what is left of it
		}
	}
	for {
		_, sealed, _ := r.sealer.Latest(r.name)
		ends, err := r.ends(ctx, first, min(sealed.Size, first+maxRemoved), before)
		if err != nil || ends.to <= first {
			return err
		}
		to, err := r.record(ctx, first, ends.to, before)
		if err != nil || to <= first {
			return err
		}
		first = to
	}
}

// record archives what is to be removed, puts the removal on record, and does it. It
// returns the first record that is left.
func (r removing) record(ctx context.Context, first, to int64, before time.Time) (int64, error) {
	place, archived, err := r.archive(ctx, first, before)
	if err != nil {
		return 0, err
	}
	if place != "" && archived < to {
		ends, err := r.ends(ctx, first, archived, before)
		if err != nil || ends.to <= first {
			return first, err
		}
		to = ends.to
	}
	root, err := tlog.TreeHash(to, r.log.Hashes(ctx, r.name))
	if err != nil {
		return 0, err
	}
	data := audit.Removal{
		Log: r.name, From: first, To: to, Before: before, Root: base64.StdEncoding.EncodeToString(root[:]), Archive: place,
		Reason: fmt.Sprintf("retention %s of domain %s", r.retention, r.domain),
	}
	if err := r.broker.RecordRemoval(ctx, data); err != nil {
		return 0, err
	}
	if err := r.carryOut(ctx, first, data); err != nil {
		return 0, err
	}
	left, err := r.log.Oldest(ctx, r.name)
	if err == nil && left < to {
		left = 0 // a legal hold came in between
	}
	return left, err
}

// carryOut does what is on record, but for what is under a legal hold by now.
func (r removing) carryOut(ctx context.Context, first int64, data audit.Removal) error {
	ends, err := r.ends(ctx, first, data.To, data.Before)
	if err != nil || ends.to <= first {
		return err
	}
	if err := r.index.Remove(ctx, ends.calls...); err != nil {
		return err
	}
	if err := r.log.Remove(ctx, r.name, ends.to); err != nil {
		return err
	}
	r.opt.Logger.LogAttrs(ctx, slog.LevelInfo, "records removed that have outlived their retention",
		slog.String("log", r.name), slog.Int64("from", first), slog.Int64("to", ends.to), slog.Int("calls", len(ends.calls)), slog.String("archive", data.Archive))
	return nil
}

// ends is where a removal ends, and the calls that are in it.
type ends struct {
	to    int64
	calls []string
}

// inPart is a call some records of which are old enough.
type inPart struct {
	id          string
	first, last int64
	closed      bool
	hold        string // that it is under
}

// ends finds how far the records from one index up to another can be removed: those that
// are older than a moment, and cut no call. Nothing is removed after a call that is open,
// or under a legal hold.
func (r removing) ends(ctx context.Context, first, limit int64, before time.Time) (ends, error) {
	part, to, err := r.part(ctx, first, limit, before)
	if err != nil {
		return ends{}, err
	}
	// From the last one back: where one is kept, the part is shorter, and what began in
	// it later is kept with it.
	slices.SortFunc(part, func(a, b *inPart) int { return cmp.Compare(b.first, a.first) })
	kept := ""
	for _, c := range part {
		if c.last >= to || !c.closed || c.hold != "" {
			to, kept = c.first, c.hold
		}
	}
	if kept != "" {
		r.opt.Logger.LogAttrs(ctx, slog.LevelInfo, "a legal hold keeps records that have outlived their retention",
			slog.String("log", r.name), slog.Int64("from", to), slog.String("hold", kept))
	}
	out := ends{to: to}
	for _, c := range part {
		if c.first < to {
			out.calls = append(out.calls, c.id)
		}
	}
	return out, nil
}

// part reads the calls of the records from one index up to another that are older than a
// moment, and to where these are; then the rest of the log, for what belongs to them.
func (r removing) part(ctx context.Context, first, limit int64, before time.Time) ([]*inPart, int64, error) {
	calls := map[string]*inPart{}
	to, more := first, true
	visit := func(rec audit.Record) {
		if more = more && rec.Position.Index < limit; more {
			e, err := audit.PeekEvent(rec.Stored)
			if more = err == nil && e.Time.Before(before); more { // what cannot be read stays
				to = rec.Position.Index + 1
				r.note(calls, e, rec.Position)
				return
			}
		}
		if head, err := audit.Peek(rec.Stored); err == nil && calls[head.Subject] != nil {
			calls[head.Subject].last = rec.Position.Index
		}
	}
	oldest, err := r.log.Record(ctx, audit.Position{Log: r.name, Index: first})
	if errors.Is(err, audit.ErrNotFound) || first >= limit {
		return nil, first, nil // there is none
	}
	if err != nil {
		return nil, 0, err
	}
	visit(oldest)
	for rec, err := range r.log.Read(ctx, oldest.Next) {
		if err != nil {
			return nil, 0, err
		}
		if rec.Position.Log == r.name {
			visit(rec)
		}
		if to == first {
			break // nothing is old enough
		}
	}
	return slices.Collect(maps.Values(calls)), to, nil
}

// note folds what counts of an event into the call that it is about.
func (r removing) note(calls map[string]*inPart, e audit.Event, at audit.Position) {
	if e.Subject == "" {
		return
	}
	c := calls[e.Subject]
	if c == nil {
		c = &inPart{id: e.Subject, first: at.Index, closed: e.Type != audit.CallIntent, hold: r.holdOn(e, at)}
		calls[e.Subject] = c
	}
	c.last = at.Index
	c.closed = c.closed || e.Type.Closes()
}
