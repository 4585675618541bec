package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/deedbroker/deed/audit"
)

// erasure are payloads on their way out.
type erasure struct {
	erase func(*writer) error
	done  chan error // holds one answer
}

// Erase removes the payload called name of the record at p for good; its
// commitment in the event stands, and [Log.Payload] answers [audit.ErrErased]
// from then on. Its bytes are overwritten in the file and dropped from the
// write-ahead log, there as soon as no reader stands in the way. Erasing twice is
// harmless; a payload that never was is [audit.ErrNotFound].
func (l *Log) Erase(ctx context.Context, p audit.Position, name string) error {
	if err := l.eraseOne(ctx, p, name); err != nil {
		return fmt.Errorf("erase payload %.*q of %s: %w", audit.MaxPayloadName, name, p, err)
	}
	return nil
}

func (l *Log) eraseOne(ctx context.Context, p audit.Position, name string) error {
	if _, err := l.read.Payload(ctx, p, name); errors.Is(err, audit.ErrErased) {
		return nil
	} else if err != nil {
		return err
	}
	e, err := l.read.at(ctx, p)
	if err != nil {
		return err
	}
	return l.hand(ctx, func(w *writer) error {
		return w.erasePayload.Run(payloadID(e.seq, 0), payloadID(e.seq+1, 0), name)
	})
}

// EraseRecords is [audit.Eraser.EraseRecords]. The bytes go as those of [Log.Erase] do.
func (l *Log) EraseRecords(ctx context.Context, records ...audit.Places) error {
	for _, places := range records {
		log := places.Log
		id, err := l.read.id(ctx, log)
		if err != nil {
			return fmt.Errorf("erase payloads of %s: %w", log, err)
		}
		for some := range slices.Chunk(places.Indexes, erasedAtOnce) {
			err := l.hand(ctx, func(w *writer) error {
				for _, i := range some {
					if err := w.eraseRange.Run(int64(audit.MaxPayloads), int64(audit.MaxPayloads), id, i, i+1); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("erase payloads of %s: %w", log, err)
			}
		}
	}
	return nil
}

// hand has the writer erase something.
func (l *Log) hand(ctx context.Context, erase func(*writer) error) error {
	job := &erasure{erase: erase, done: make(chan error, 1)}
	select {
	case l.erasures <- job:
	case <-l.closing:
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
	}
	return <-job.done // the writer has it and answers at once
}

func (w *writer) erase(e *erasure) error {
	if broken := w.log.broken.Load(); broken != nil {
		return *broken
	}
	if err := w.begin.Run(); err != nil {
		return w.abort(nil, err)
	}
	if err := e.erase(w); err != nil {
		return w.abort(nil, err)
	}
	if err := w.commit.Run(); err != nil {
		w.log.poison(err)
		return fmt.Errorf("%w: commit failed: %w", audit.ErrUncertain, err)
	}
	err := w.fold(w.truncate)
	w.residue = err != nil
	w.checkFold(err)
	return nil
}
