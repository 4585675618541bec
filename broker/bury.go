package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// buryWait bounds an attempt to bury a replica, so that a place that was taken is given
// back, whatever the log does.
const buryWait = 2 * time.Minute

// mourn looks for replicas that died with calls running, and closes these.
func (b *Broker) mourn(ctx context.Context) error {
	if !b.shared() {
		return nil // nobody else writes this log
	}
	tick := time.NewTicker(b.cfg.Silence / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, source := range b.others.silent(b.owners(), b.cfg.Silence) {
			if err := b.bury(ctx, source); err != nil && ctx.Err() == nil {
				b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "calls of a silent replica not closed yet",
					slog.String("replica", source), slog.Any("error", err))
			}
			b.others.hear(source) // not again at once
		}
	}
}

// bury closes, as unknown, what a dead replica has left running. It does so in the
// place of that replica, which from then on can write nothing about these calls: see
// the package's comment.
func (b *Broker) bury(ctx context.Context, source string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, buryWait)
	defer cancel()
	fence, err := b.cfg.Fencer.Fence(ctx, source)
	switch {
	case errors.Is(err, audit.ErrAlive):
		return nil
	case errors.Is(err, audit.ErrFenced):
		b.halt()
		return err
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, fence.Close()) }()
	if err := b.CaughtUp(ctx); err != nil {
		return fmt.Errorf("read what it wrote: %w", err)
	}
	left := b.leftBy(source)
	for _, c := range left {
		if err := b.closeFor(ctx, fence, c); err != nil {
			return fmt.Errorf("close call %s as unknown: %w", c.ID, err)
		}
		b.bar(*c, nil)
	}
	b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "closed the calls of a dead replica",
		slog.String("replica", source), slog.Int("calls", len(left)))
	return nil
}

func (b *Broker) closeFor(ctx context.Context, fence audit.Fence, c *calls.Call) error {
	e, err := b.event(audit.CallUnknown, b.aboutCall(*c), outcomeCrash())
	if err != nil {
		return err
	}
	return b.appendTo(ctx, fence, e)
}

// halt stops a broker whose place in the log another replica has taken: it runs and
// writes nothing any more.
func (b *Broker) halt() {
	b.halting.Do(func() {
		b.flights.close()
		close(b.fenced)
		b.stop()
	})
}

// outcomeCrash ends a call whose replica died before it recorded what came of it.
func outcomeCrash() audit.Outcome {
	return audit.Outcome{Code: audit.CodeCrash, Reason: "the broker stopped between the act and its record"}
}
