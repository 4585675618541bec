package embedded

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
)

// The way of a request: it waits, then either the writer takes it or its caller
// withdraws it, never both.
const (
	waiting int32 = iota
	taken
	withdrawn
)

// request is an event on its way to the writer.
type request struct {
	log      string
	kind     audit.Type
	body     []byte
	leaf     tlog.Hash
	payloads []audit.Payload
	size     int64 // of body and payloads
	quiet    bool

	state atomic.Int32
	seq   int64          // set by the writer, as are the next two, before done
	pos   audit.Position // where it stands
	err   error          // why it does not
	done  chan struct{}
}

// Append is [audit.Log.Append]. The event is encoded and hashed by the caller; the
// writer stores the bytes. When ctx ends before the writer took the event the error
// is [audit.ErrUnavailable] and nothing is stored; after that it is [audit.ErrUncertain].
func (l *Log) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	r, err := l.encode(e)
	if err != nil {
		return audit.Position{}, fmt.Errorf("append event: %w", err)
	}
	pos, err := l.submit(ctx, r)
	if err != nil {
		l.count.refused.Add(1)
		return audit.Position{}, fmt.Errorf("append event: %w", err)
	}
	return pos, nil
}

func (l *Log) submit(ctx context.Context, r *request) (audit.Position, error) {
	if broken := l.broken.Load(); broken != nil {
		return audit.Position{}, *broken
	}
	if err := ctx.Err(); err != nil {
		return audit.Position{}, fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	select {
	case <-l.closing:
		return audit.Position{}, errClosed
	default:
	}
	select {
	case l.queue <- r:
	case <-l.closing:
		return audit.Position{}, errClosed
	case <-ctx.Done():
		return audit.Position{}, fmt.Errorf("%w: the writer is behind: %w", audit.ErrUnavailable, ctx.Err())
	}
	return l.await(ctx, r)
}

func (l *Log) await(ctx context.Context, r *request) (audit.Position, error) {
	select {
	case <-r.done:
		return r.pos, r.err
	case <-l.stopped:
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return audit.Position{}, errClosed
		}
		<-r.done // the writer answers whatever it took before it stops
		return r.pos, r.err
	case <-ctx.Done():
	}
	if r.state.CompareAndSwap(waiting, withdrawn) {
		return audit.Position{}, fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
	}
	select {
	case <-r.done:
		return r.pos, r.err
	default:
		return audit.Position{}, fmt.Errorf("%w: %w", audit.ErrUncertain, ctx.Err())
	}
}

// encode turns the event into what is stored.
func (l *Log) encode(e audit.Event) (*request, error) {
	body, err := e.Encode()
	if err != nil {
		return nil, err
	}
	size := int64(len(body))
	for _, p := range e.Payloads {
		if int64(len(p.Body)) > l.options.MaxPayloadBytes {
			return nil, fmt.Errorf("%w: payload %q has %d bytes, the limit is %d", audit.ErrTooLarge, p.Name, len(p.Body), l.options.MaxPayloadBytes)
		}
		size += int64(len(p.Body))
	}
	return &request{
		log: e.LogName(), kind: e.Type, body: body, leaf: tlog.RecordHash(body),
		payloads: e.Payloads, size: size, quiet: e.Quiet, done: make(chan struct{}),
	}, nil
}
