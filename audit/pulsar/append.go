package pulsar

import (
	"context"
	"fmt"

	"github.com/deedbroker/deed/audit"
)

// overhead is what a message needs beside its bytes.
const overhead = 1 << 10

// Append is [audit.Log.Append]. Event and payloads are sent at the same time. An error
// that wraps [audit.ErrUnavailable] says that nothing was stored; with
// [audit.ErrUncertain] the event, its payloads, or both may be.
func (l *Log) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	p, err := l.append(ctx, e)
	if err != nil {
		return audit.Position{}, fmt.Errorf("append event: %w", err)
	}
	return p, nil
}

func (l *Log) append(ctx context.Context, e audit.Event) (audit.Position, error) {
	body, err := e.Encode()
	if err != nil {
		return audit.Position{}, err
	}
	size := int64(len(body) + overhead)
	for _, p := range e.Payloads {
		if int64(len(p.Body)) > l.options.MaxPayloadBytes {
			return audit.Position{}, fmt.Errorf("%w: payload %q has %d bytes, the limit is %d", audit.ErrTooLarge, p.Name, len(p.Body), l.options.MaxPayloadBytes)
		}
		size += int64(len(p.Body) + overhead)
	}
	if size > maxInFlight {
		return audit.Position{}, fmt.Errorf("%w: %d bytes, the limit is %d", audit.ErrTooLarge, size, maxInFlight)
	}
	topic := l.topics[e.LogName()]
	if topic == nil {
		return audit.Position{}, fmt.Errorf("%w: %w: %s", audit.ErrUnavailable, errNotServed, e.LogName())
	}
	if err := l.admit(ctx, size); err != nil {
		return audit.Position{}, err
	}
	return l.deliver(ctx, e, body, size, topic[route(keyOf(e), len(topic))])
}

// admit waits for room for what is to be sent.
func (l *Log) admit(ctx context.Context, size int64) error {
	if l.isClosed() {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	if err := l.room.Acquire(ctx, size); err != nil {
		return fmt.Errorf("%w: Pulsar is behind: %w", audit.ErrUnavailable, err)
	}
	return nil
}

// deliver sends event and payloads, and waits for both. The room that they take is
// free again when Pulsar has answered, however long the caller waits.
func (l *Log) deliver(ctx context.Context, e audit.Event, body []byte, size int64, p *partition) (audit.Position, error) {
	own := int64(len(body) + overhead)
	var kept *keeping
	if len(e.Payloads) > 0 {
		var err error
		if kept, err = l.vaults[e.Domain].keep(ctx, e, func() { l.room.Release(size - own) }); err != nil {
			l.room.Release(own)
			return audit.Position{}, err
		}
	}
	s, err := p.writer.send(ctx, e, body, func() { l.room.Release(own) })
	if err != nil {
		return audit.Position{}, err
	}
	index, err := p.writer.await(ctx, s)
	if err != nil {
		return audit.Position{}, err
	}
	if err := kept.await(ctx); err != nil {
		return audit.Position{}, err
	}
	return audit.Position{Log: p.place.log, Index: index}, nil
}
