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

// feed reads a topic on and on. A reader of the client's that comes back after a lost
// connection can be told by Pulsar that it is closed before it has noticed that it is
// open: then it waits for ever. So a feed that hears nothing looks whether there is
// something to be heard, and takes another reader if there is.
type feed struct {
	log     *Log
	options pulsar.ReaderOptions

	mu     sync.Mutex
	reader pulsar.Reader // guarded by mu
	last   messageID     // guarded by mu: what was read last; before everything at first
}

// quiet is how long a feed hears nothing before it looks, and how long something that is
// there may take to come.
const (
	quietTime = 2 * time.Second
	comeTime  = time.Second
)

func (l *Log) newFeed(ctx context.Context, o pulsar.ReaderOptions) (*feed, error) {
	r, err := l.newReader(ctx, o)
	if err != nil {
		return nil, err
	}
	return &feed{log: l, options: o, reader: r, last: messageID{-1, -1}}, nil
}

func (f *feed) current() (pulsar.Reader, messageID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reader, f.last
}

// next returns the next message. Some is false if there was none in a quiet time and
// the topic has none that is unread. Only a feed that has taken another reader gives
// messages again that it has given before: the last one.
func (f *feed) next(ctx context.Context) (m received, some bool, err error) {
	for { // Pulsar may be away: then that is tried again and again
		r, last := f.current()
		m, some, err = f.hear(ctx, r, quietTime)
		if some || err != nil {
			return m, some, err
		}
		end, there, err := f.log.lastMessage(ctx, r)
		if err == nil && (!there || !last.before(end)) {
			return received{}, false, nil
		}
		if err == nil {
			if m, some, err = f.hear(ctx, r, comeTime); some || err != nil {
				return m, some, err
			}
		}
		if err := f.renew(ctx, r); err != nil && (ctx.Err() != nil || f.log.isClosed()) {
			return received{}, false, err
		}
	}
}

// hear waits for a message for a while.
func (f *feed) hear(ctx context.Context, r pulsar.Reader, wait time.Duration) (received, bool, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m, err := r.Next(waiting)
	switch {
	case err == nil:
		heard := receive(m)
		f.mu.Lock()
		f.last = heard.id
		f.mu.Unlock()
		return heard, true, nil
	case ctx.Err() != nil:
		return received{}, false, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), f.isReplaced(r):
		return received{}, false, nil
	default:
		return received{}, false, fmt.Errorf("read %s: %w", f.options.Topic, meaning(err))
	}
}

// again takes another reader, which begins with the message at a place; before everything
// is where the feed began.
func (f *feed) again(ctx context.Context, from messageID) error {
	f.mu.Lock()
	f.last = from
	old := f.reader
	f.mu.Unlock()
	return f.renew(ctx, old)
}

// renew takes another reader in the place of one that hears nothing.
func (f *feed) renew(ctx context.Context, old pulsar.Reader) error {
	o := f.options
	if _, last := f.current(); last.ledger >= 0 {
		o.StartMessageID, o.StartMessageIDInclusive = pulsar.NewMessageID(last.ledger, last.entry, -1, -1), true
	}
	r, err := f.log.newReader(ctx, o)
	if err != nil {
		return err
	}
	f.mu.Lock()
	replaced := f.reader == old
	if replaced {
		f.reader = r
	}
	f.mu.Unlock()
	if !replaced {
		old = r // somebody else was quicker
	}
	if !f.log.spawn(old.Close) {
		old.Close()
	}
	return nil
}

// isReplaced reports whether whoever asked for the end has taken another reader.
func (f *feed) isReplaced(r pulsar.Reader) bool {
	now, _ := f.current()
	return now != r
}

// end is the last message that the topic has now; none if it is empty.
func (f *feed) end(ctx context.Context) (messageID, bool, error) {
	r, _ := f.current()
	id, some, err := f.log.lastMessage(ctx, r)
	if err == nil || ctx.Err() != nil || errors.Is(err, audit.ErrNotFound) {
		return id, some, err
	}
	if renewed := f.renew(ctx, r); renewed != nil {
		return messageID{}, false, errors.Join(err, renewed)
	}
	r, _ = f.current()
	return f.log.lastMessage(ctx, r)
}

func (f *feed) close() {
	r, _ := f.current()
	r.Close()
}
