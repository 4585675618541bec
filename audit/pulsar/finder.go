package pulsar

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit"
)

// finder finds messages of payloads, which stand near their events in time but at no
// place that these could name. It reads on from where it is, as long as what is sought
// is not far, and remembers what it came by: whoever asks for one payload mostly asks
// for those that follow next.
type finder struct {
	log   *Log
	place place

	mu     sync.Mutex // one search at a time; guards what follows
	reader pulsar.Reader
	from   time.Time         // when the reader was set back to
	at     time.Time         // of the last message read
	found  map[string][]byte // by event
	order  []string          // of found, the oldest first
	bytes  int
}

const (
	finderBytes = 16 << 20 // of messages that are remembered
	maxAhead    = 10 * time.Second
	justNow     = 15 * time.Second // a payload may be later than its event by as much
	nextIdle    = 500 * time.Millisecond
)

// windows are how long before and after its event a payload is looked for: nearly
// always they come together; after a trouble, perhaps not.
func windows() []time.Duration { return []time.Duration{2 * time.Second, time.Minute, time.Hour} }

func newFinder(l *Log, p place) *finder { return &finder{log: l, place: p, found: map[string][]byte{}} }

// find returns the payloads of an event that Pulsar took at a time.
func (f *finder) find(ctx context.Context, event string, at time.Time) ([]sealedPayload, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, known := f.found[event]
	for i, window := range windows() {
		if known {
			break
		}
		if err := f.approach(ctx, at.Add(-window), i > 0); err != nil {
			return nil, err
		}
		var err error
		if body, known, err = f.scan(ctx, event, at, window); err != nil {
			return nil, err
		}
	}
	if !known {
		return nil, audit.ErrNotFound
	}
	return decodePayloads(body)
}

// approach makes the reader stand before a time, and not far.
func (f *finder) approach(ctx context.Context, to time.Time, again bool) error {
	if f.reader != nil && !again && !f.at.IsZero() && !to.Before(f.from) && !f.at.After(to.Add(2*windows()[0])) && to.Sub(f.at) < maxAhead {
		return nil
	}
	if f.reader == nil {
		r, err := f.log.newReader(ctx, readerOptions(f.place, mark{}, false))
		if err != nil {
			return err
		}
		f.reader = r
	}
	_, err := await(ctx, f.log, func() (struct{}, error) { return struct{}{}, f.reader.SeekByTime(to) }, func(struct{}) {})
	if err != nil {
		return fmt.Errorf("search %s: %w", f.place.name, err)
	}
	f.from, f.at = to, to
	return nil
}

// scan reads until the payloads are found or what is read is later than the window.
func (f *finder) scan(ctx context.Context, event string, at time.Time, window time.Duration) (body []byte, known bool, err error) {
	for !f.at.After(at.Add(window)) {
		wait, cancel := context.WithTimeout(ctx, nextIdle)
		m, err := f.reader.Next(wait)
		timedOut := wait.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err != nil && timedOut:
			// Its payload may come yet, if the event has come just now.
			if !f.reader.HasNext() && time.Since(at) > justNow {
				return nil, false, nil
			}
			continue
		case err != nil:
			f.reader.Close()
			f.reader = nil
			return nil, false, fmt.Errorf("search %s: %w", f.place.name, meaning(err))
		}
		r := receive(m)
		f.at = later(f.at, r.at)
		id := m.Properties()[propertyPrefix+"id"]
		f.remember(id, m.Payload())
		if id == event {
			return m.Payload(), true, nil
		}
	}
	return nil, false, nil
}

// remember keeps a message, and forgets the oldest ones.
func (f *finder) remember(event string, body []byte) {
	if _, known := f.found[event]; known {
		return
	}
	f.found[event], f.order, f.bytes = body, append(f.order, event), f.bytes+len(body)
	for f.bytes > finderBytes && len(f.order) > 1 {
		f.bytes -= len(f.found[f.order[0]])
		delete(f.found, f.order[0])
		f.order = f.order[1:]
	}
}

func (f *finder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reader != nil {
		f.reader.Close()
		f.reader = nil
	}
}
