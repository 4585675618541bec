package broker

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
)

const (
	// readAgain is how long a look counts as the same one.
	readAgain = 5 * time.Minute
	// maxReadings is how many looks are remembered.
	maxReadings = 4096
	// maxSoughtFor is how much of a query is recorded, in bytes.
	maxSoughtFor = 512
)

// readings are the looks of the last minutes that are on record.
type readings struct {
	mu   sync.Mutex
	seen map[string]time.Time // guarded by mu
}

// fresh reports whether a look has to be recorded.
func (r *readings) fresh(key string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, known := r.seen[key]
	return !known || now.Sub(at) > readAgain
}

func (r *readings) note(key string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || len(r.seen) >= maxReadings {
		r.seen = map[string]time.Time{} // some are recorded once more
	}
	r.seen[key] = now
}

// Reading records what somebody is about to be shown of what calls were made with and what
// they answered, or what they looked for. What cannot be recorded must not be shown. Who it
// is for is not to be said.
func (b *Broker) Reading(ctx context.Context, by *agents.Identity, look audit.Reading) error {
	look.For, look.By = clip(look.For, maxSoughtFor), recorded(by)
	key, now := strings.Join([]string{by.Key(), look.What, look.Tier, look.Call, look.For}, "\x00"), time.Now()
	if !b.readings.fresh(key, now) {
		return nil
	}
	op := "read history"
	if err := b.admit(ctx, op, by); err != nil {
		return err
	}
	if err := b.recordReading(ctx, op, look); err != nil {
		return err
	}
	b.readings.note(key, now)
	return nil
}

// Browsing is [Broker.Reading] of what is looked at again and again: lists and streams. The
// first look of a viewer is recorded before they see anything, and how often they looked
// again when a while is over.
func (b *Broker) Browsing(ctx context.Context, by *agents.Identity, look audit.Reading) error {
	look.For, look.By = clip(look.For, maxSoughtFor), recorded(by)
	place, fresh := b.browsed.look(by.Key(), &look, time.Now())
	if !fresh {
		return nil
	}
	op := "read history"
	if err := b.admit(ctx, op, by); err != nil {
		return err
	}
	if err := b.recordReading(ctx, op, look); err != nil {
		return err
	}
	b.browsed.note(place, look, time.Now())
	return nil
}

// sumUp records how often was looked again at what was looked at a while ago, or at all. A
// log that is away ends it, and the sums of this time are lost: the first looks are there.
func (b *Broker) sumUp(ctx context.Context, now time.Time, all bool) {
	for _, look := range b.browsed.over(now, all) {
		if err := b.write(ctx, audit.HistoryRead, control(), look); err != nil {
			b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "how often was looked is not recorded", slog.Any("error", err))
			return
		}
	}
}

func (b *Broker) recordReading(ctx context.Context, op string, data audit.Reading) error {
	if err := b.write(ctx, audit.HistoryRead, control(), data); err != nil {
		return &Error{
			Kind: LogUnavailable, Op: op, Err: err, Retry: 5 * time.Second,
			Public: "that you read this could not be recorded, so it is not shown; try again",
		}
	}
	return nil
}
