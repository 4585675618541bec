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

// Store implements [audit.Storer]: it does not wait until the event was read back, which
// tells its index.
func (l *Log) Store(ctx context.Context, e audit.Event) error {
	s, p, kept, err := l.send(ctx, e)
	if err == nil {
		err = p.writer.stored(ctx, s)
	}
	if err == nil {
		err = kept.await(ctx)
	}
	if err != nil {
		return fmt.Errorf("append event: %w", err)
	}
	return nil
}

func (l *Log) append(ctx context.Context, e audit.Event) (audit.Position, error) {
	s, p, kept, err := l.send(ctx, e)
	if err != nil {
		return audit.Position{}, err
	}
	waiting := ctx
	if p.writer.takesTurns { // what is not acknowledged may never be: its turn can be over
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, l.options.Patience)
		defer cancel()
	}
	index, err := p.writer.await(waiting, s)
	if err != nil {
		return audit.Position{}, err
	}
	if err := kept.await(ctx); err != nil {
		return audit.Position{}, err
	}
	return audit.Position{Log: p.place.log, Index: index}, nil
}

// send has an event and its payloads sent, as far as they may be.
func (l *Log) send(ctx context.Context, e audit.Event) (*sending, *partition, *keeping, error) {
	fail := func(err error) (*sending, *partition, *keeping, error) { return nil, nil, nil, err }
	body, err := e.Encode()
	if err != nil {
		return fail(err)
	}
	size := int64(len(body) + overhead)
	for _, p := range e.Payloads {
		if int64(len(p.Body)) > l.options.MaxPayloadBytes {
			return fail(fmt.Errorf("%w: payload %q has %d bytes, the limit is %d", audit.ErrTooLarge, p.Name, len(p.Body), l.options.MaxPayloadBytes))
		}
		size += int64(len(p.Body) + overhead)
	}
	if size > maxInFlight {
		return fail(fmt.Errorf("%w: %d bytes, the limit is %d", audit.ErrTooLarge, size, maxInFlight))
	}
	topic := l.topics[e.LogName()]
	if topic == nil {
		return fail(fmt.Errorf("%w: %w: %s", audit.ErrUnavailable, errNotServed, e.LogName()))
	}
	if err := l.admit(ctx, size); err != nil {
		return fail(err)
	}
	p := topic[route(keyOf(e), len(topic))]
	s, kept, err := l.deliver(ctx, e, body, size, p)
	return s, p, kept, err
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

// deliver sends event and payloads at the same time. The room that they take is free
// again when Pulsar has answered, however long the caller waits.
func (l *Log) deliver(ctx context.Context, e audit.Event, body []byte, size int64, p *partition) (*sending, *keeping, error) {
	own := int64(len(body) + overhead)
	var kept *keeping
	if len(e.Payloads) > 0 {
		var err error
		if kept, err = l.vaults[e.Domain].keep(ctx, e, func() { l.room.Release(size - own) }); err != nil {
			l.room.Release(own)
			return nil, nil, err
		}
	}
	s, err := p.writer.send(ctx, e, body, func() { l.room.Release(own) })
	return s, kept, err
}
