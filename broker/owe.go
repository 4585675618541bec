package broker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit"
)

// How long to wait before a log that is away is tried again, at first and at last.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// pause waits, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// owe writes, in the background, an event that ends a call. A log that is away is
// tried again until the broker stops: what is open then is closed as unknown by
// whoever opens the log next. Of several closing events the first counts, so that
// trying again after an acknowledgement that was lost does no harm.
func (b *Broker) owe(t audit.Type, a about, out audit.Outcome, payloads ...audit.Payload) {
	b.work.Go(func() {
		for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
			err := b.write(b.live, t, a, out, payloads...)
			if err == nil {
				return
			}
			if wait == firstRetry {
				b.cfg.Logger.LogAttrs(b.live, slog.LevelError, "closing event not recorded yet",
					slog.String("call_id", a.callID), slog.String("type", string(t)), slog.Any("error", err))
			}
			if errors.Is(err, audit.ErrTooLarge) {
				out.Output, payloads = nil, nil
			}
			if pause(b.live, wait); b.live.Err() != nil {
				return
			}
		}
	})
}

// outcomeUnacknowledged ends a call whose intent was stored after its caller had been refused.
func outcomeUnacknowledged() audit.Outcome {
	return audit.Outcome{Code: audit.CodeUnacknowledged, Reason: "its record was acknowledged too late; it was not executed"}
}
