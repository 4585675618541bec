package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode/utf8"

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

// encode checks the event and turns it into what is stored.
func (l *Log) encode(e audit.Event) (*request, error) {
	if err := validate(e); err != nil {
		return nil, err
	}
	body, err := marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if len(body) > audit.MaxEventBytes {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", audit.ErrTooLarge, len(body), audit.MaxEventBytes)
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
		payloads: e.Payloads, size: size, done: make(chan struct{}),
	}, nil
}

// marshal is json.Marshal, but checks the event's data, which is most of it and has
// been encoded by our own side, only once and leaves its bytes as they are.
func marshal(e audit.Event) ([]byte, error) {
	data := e.Data
	if !json.Valid(data) {
		return nil, errors.New("data is not JSON")
	}
	e.Data = nil
	envelope, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	head, ok := bytes.CutSuffix(envelope, []byte("null}"))
	if !ok {
		return nil, errors.New("data is not the last attribute of an event")
	}
	body := make([]byte, 0, len(head)+len(data)+1)
	return append(append(append(body, head...), data...), '}'), nil
}

func validate(e audit.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if !validName(e.Domain) || !validName(e.Topic) {
		return errors.New("domain and topic are made of ASCII letters, digits, '.', '_', '-' and '='")
	}
	// JSON would replace what is not UTF-8, and the record would say something else.
	for _, s := range []string{e.ID, string(e.Type), e.Source, e.Subject, e.DataContentType, e.Tenant, e.Principal, e.Actor, e.TraceParent} {
		if !utf8.ValidString(s) {
			return errors.New("an attribute is not UTF-8")
		}
	}
	if !utf8.Valid(e.Data) {
		return errors.New("data is not UTF-8")
	}
	return validatePayloads(e.Payloads)
}

func validatePayloads(payloads []audit.Payload) error {
	if len(payloads) > MaxPayloads {
		return fmt.Errorf("%d payloads, an event can carry %d", len(payloads), MaxPayloads)
	}
	for i, p := range payloads {
		switch {
		case p.Name == "" || len(p.Name) > MaxPayloadName || len(p.MediaType) > MaxPayloadName,
			!utf8.ValidString(p.Name), !utf8.ValidString(p.MediaType):
			return fmt.Errorf("payload %d needs a name, and a media type, of at most %d bytes of UTF-8", i, MaxPayloadName)
		case len(p.Salt) != audit.SaltBytes:
			return fmt.Errorf("payload %q has a salt of %d bytes, not %d", p.Name, len(p.Salt), audit.SaltBytes)
		}
		for _, other := range payloads[:i] {
			if other.Name == p.Name {
				return fmt.Errorf("two payloads are called %q", p.Name)
			}
		}
	}
	return nil
}

// validName keeps log names apart from each other and from positions and notes
// that contain them.
func validName(s string) bool {
	const others = "._-="
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 255
}
