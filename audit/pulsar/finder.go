package pulsar

import (
	"context"
	"errors"
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

	mu     sync.Mutex // one search at a time; guards what follows, but found
	reader pulsar.Reader
	last   messageID // what it read last
	from   time.Time // when the reader was set back to
	upTo   time.Time // when it had read all that there was
	at     time.Time // of the last message read
	found  shelf
}

const (
	maxAhead = 10 * time.Second
	justNow  = 15 * time.Second // a payload may be later than its event by as much
	nextIdle = 500 * time.Millisecond
)

// windows are how long before and after its event a payload is looked for: nearly
// always they come together; after a trouble, perhaps not.
func windows() []time.Duration { return []time.Duration{2 * time.Second, time.Minute, time.Hour} }

func newFinder(l *Log, p place) *finder { return &finder{log: l, place: p} }

// find returns the payloads of an event that Pulsar took at a time. Those of a writer who
// died soon after it are not looked for far away.
func (f *finder) find(ctx context.Context, event string, at time.Time, died func() bool) ([]sealedPayload, error) {
	if body, known := f.found.get(event); known {
		return decodePayloads(body)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	body, known := f.found.get(event)
	for i, window := range windows() {
		if known || i == 2 && died() {
			break
		}
		if f.hasRead(at, window) {
			continue // and it was not there
		}
		var err error
		if body, known, err = f.search(ctx, event, at, window, i > 0); errors.Is(err, errSilent) {
			body, known, err = f.search(ctx, event, at, window, true) // by another reader
		}
		if err != nil {
			return nil, err
		}
	}
	if !known {
		return nil, audit.ErrNotFound
	}
	return decodePayloads(body)
}

// hasRead reports whether all that may be the payloads of an event of a time was read, and
// is remembered.
func (f *finder) hasRead(at time.Time, window time.Duration) bool {
	return f.reader != nil && f.found.isWhole() && !f.from.IsZero() && !f.from.After(at.Add(-window)) &&
		(f.at.After(at.Add(window)) || f.upTo.Sub(at) > justNow)
}

func (f *finder) search(ctx context.Context, event string, at time.Time, window time.Duration, again bool) ([]byte, bool, error) {
	if err := f.approach(ctx, at.Add(-window), again); err != nil {
		return nil, false, err
	}
	return f.scan(ctx, event, at, window)
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
	f.from, f.at, f.last, f.upTo = to, to, messageID{-1, -1}, time.Time{}
	f.found.begin()
	return nil
}

// scan reads until the payloads are found or what is read is later than the window. A
// reader that hears nothing of what is there (see [feed]) is an error.
func (f *finder) scan(ctx context.Context, event string, at time.Time, window time.Duration) (body []byte, known bool, err error) {
	for silent := 0; !f.at.After(at.Add(window)); {
		wait, cancel := context.WithTimeout(ctx, nextIdle)
		m, err := f.reader.Next(wait)
		timedOut := wait.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && timedOut {
			var unread bool
			asked := time.Now()
			if unread, err = f.unread(ctx); err == nil && !unread {
				f.upTo = asked
				if asked.Sub(at) > justNow {
					return nil, false, nil
				}
			}
			if silent++; err == nil && (!unread || silent < maxSilent) {
				continue // its payload may come yet, if the event has come just now
			}
			err = errors.Join(err, errSilent)
		}
		if err != nil {
			f.drop()
			return nil, false, fmt.Errorf("search %s: %w", f.place.name, meaning(err))
		}
		silent = 0
		r := receive(m)
		f.at, f.last = later(f.at, r.at), r.id
		packs, err := packed(m)
		if err != nil {
			f.log.strange(f.place, m, err)
		}
		for _, p := range packs {
			f.found.add(p.event, p.body)
			if p.event == event {
				body, known = p.body, true
			}
		}
		if known {
			return body, true, nil
		}
	}
	return nil, false, nil
}

// maxSilent is how often a reader may hear nothing though something is there.
const maxSilent = 6

var errSilent = errors.New("the reader hears nothing of what is there")

// unread reports whether the topic has more than was read.
func (f *finder) unread(ctx context.Context) (bool, error) {
	end, some, err := f.log.lastMessage(ctx, f.reader)
	return some && f.last.before(end), err
}

func (f *finder) drop() {
	if f.reader != nil {
		f.reader.Close()
		f.reader = nil
	}
}

func (f *finder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop()
}
