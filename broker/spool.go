package broker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Spool keeps events on the local disk while the log is away; *spool.Spool is one.
type Spool interface {
	// Put makes an event durable.
	Put(e audit.Event) error
	// Drain gives the events to write, the oldest first, and removes each that it
	// took. It ends at the first that write fails for, with its error.
	Drain(write func(audit.Event) error) error
	// Len is how many events are kept.
	Len() int
}

// keepOutcome spools what came of a call whose intent is in a log that cannot be
// reached. It reports whether it is durable now. A replica that is fenced spools
// nothing: the log says already what is known of its calls.
func (b *Broker) keepOutcome(ctx context.Context, e audit.Event, cause error) bool {
	if b.cfg.Spool == nil || errors.Is(cause, audit.ErrFenced) {
		return false
	}
	if err := b.cfg.Spool.Put(e); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "outcome not spooled", slog.String("call_id", e.Subject), slog.Any("error", err))
		return false
	}
	select {
	case b.spooled <- struct{}{}:
	default: // it is known that there is something to write
	}
	return true
}

// writeSpooled writes what is spooled into the log, now and whenever there is
// something. A log that is away is tried again.
func (b *Broker) writeSpooled(ctx context.Context) error {
	if b.cfg.Spool == nil {
		return nil
	}
	for wait := firstRetry; ; {
		if b.drainSpool(ctx) == nil {
			wait = firstRetry
			select {
			case <-b.spooled:
			case <-ctx.Done():
				return nil
			}
		}
		if pause(ctx, wait); ctx.Err() != nil {
			return nil //nolint:nilerr // what is left is written at the next start
		}
		wait = min(2*wait, lastRetry)
	}
}

// drainSpool writes what is spooled. What was tried before may be in the log, which
// does no harm: of several closing events of a call the first counts. So that each is
// an event of its own it gets a new id; its time is when it happened.
func (b *Broker) drainSpool(ctx context.Context) error {
	if b.cfg.Spool == nil {
		return nil
	}
	n := b.cfg.Spool.Len()
	start := time.Now()
	err := b.cfg.Spool.Drain(func(e audit.Event) error {
		e.ID = newID()
		return b.append(ctx, e)
	})
	if n > 0 {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "wrote spooled records", slog.Int("before", n),
			slog.Int("left", b.cfg.Spool.Len()), slog.Duration("took", time.Since(start)), slog.Any("error", err))
	}
	return err
}
