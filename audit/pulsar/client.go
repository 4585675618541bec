package pulsar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
	"github.com/apache/pulsar-client-go/pulsar/backoff"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/deedbroker/deed/audit"
)

// operationTimeout bounds each thing that is asked of Pulsar, such as to open a
// producer, retries included.
const operationTimeout = 15 * time.Second

func newClient(o Options, c *credentials) (pulsar.Client, error) {
	return pulsar.NewClient(pulsar.ClientOptions{
		URL: o.URL, Authentication: c.forClient(), TLSConfig: c.tls, TLSValidateHostname: true,
		ConnectionTimeout: 5 * time.Second, OperationTimeout: operationTimeout, KeepAliveInterval: 10 * time.Second,
		MemoryLimitBytes: -1, // what is on its way is bounded by Append
		Logger:           clientLogger(o.Logger), MetricsRegisterer: prometheus.NewRegistry(), MetricsCardinality: pulsar.MetricsCardinalityNone,
		Description: "deed", ListenerName: o.Listener,
	})
}

// soon bounds how long after a lost connection the client tries again: replicas that
// live have to be back before others take them for dead.
func soon() backoff.Policy { return &soonPolicy{} }

type soonPolicy struct{ wait time.Duration }

const (
	firstReconnect = 50 * time.Millisecond
	lastReconnect  = 2 * time.Second
)

func (p *soonPolicy) Next() time.Duration {
	p.wait = min(max(firstReconnect, 2*p.wait), lastReconnect)
	return p.wait + rand.N(p.wait/4) //nolint:gosec // so that not all come at the same time
}

func (p *soonPolicy) IsMaxBackoffReached() bool { return p.wait >= lastReconnect }

func (p *soonPolicy) Reset() { p.wait = 0 }

// await does what takes no context. When ctx is done first, what f returns later is
// given to undo.
func await[T any](ctx context.Context, l *Log, f func() (T, error), undo func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	done := make(chan result)
	if !l.spawn(func() {
		v, err := f()
		select {
		case done <- result{v, err}:
		case <-ctx.Done():
			if err == nil {
				undo(v)
			}
		}
	}) {
		return zero, errClosed
	}
	select {
	case r := <-done:
		if r.err != nil {
			return zero, meaning(r.err)
		}
		return r.value, nil
	case <-ctx.Done():
		return zero, fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
	}
}

func (l *Log) newProducer(ctx context.Context, o pulsar.ProducerOptions) (pulsar.Producer, error) {
	p, err := await(ctx, l, func() (pulsar.Producer, error) { return l.client.CreateProducer(o) }, pulsar.Producer.Close)
	if err != nil {
		return nil, fmt.Errorf("write to %s: %w", o.Topic, err)
	}
	return p, nil
}

func (l *Log) newReader(ctx context.Context, o pulsar.ReaderOptions) (pulsar.Reader, error) {
	o.BackoffPolicyFunc = soon
	r, err := await(ctx, l, func() (pulsar.Reader, error) { return l.client.CreateReader(o) }, pulsar.Reader.Close)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Topic, err)
	}
	return newPatient(r), nil
}

// lastWord is how long a reader that is to be closed may still say where its topic ends.
const lastWord = time.Second

// patient is a reader that can be closed while it is being asked for the end of its
// topic. If it is, the client never answers, and whoever asked is left behind there.
type patient struct {
	pulsar.Reader
	asking sync.RWMutex
	closed chan struct{}
	once   sync.Once
}

func newPatient(r pulsar.Reader) *patient { return &patient{Reader: r, closed: make(chan struct{})} }

// GetLastMessageID implements pulsar.Reader.
func (p *patient) GetLastMessageID() (pulsar.MessageID, error) {
	type answer struct {
		id  pulsar.MessageID
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		p.asking.RLock()
		defer p.asking.RUnlock()
		id, err := p.Reader.GetLastMessageID()
		answered <- answer{id, err}
	}()
	select {
	case a := <-answered:
		return a.id, a.err
	case <-p.closed:
		return nil, errClosed
	}
}

// Close implements pulsar.Reader.
func (p *patient) Close() {
	p.once.Do(func() {
		quiet := make(chan struct{})
		go func() {
			p.asking.Lock()
			defer p.asking.Unlock()
			close(quiet)
		}()
		late := time.NewTimer(lastWord)
		defer late.Stop()
		select {
		case <-quiet:
		case <-late.C:
		}
		close(p.closed)
		p.Reader.Close()
	})
}

func (l *Log) partitionsOf(ctx context.Context, topic string) ([]string, error) {
	names, err := await(ctx, l, func() ([]string, error) { return l.client.TopicPartitions(topic) }, func([]string) {})
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", topic, err)
	}
	return names, nil
}

// lastMessage is the last message of the topic that r reads; none if it is empty.
func (l *Log) lastMessage(ctx context.Context, r pulsar.Reader) (id messageID, some bool, err error) {
	last, err := await(ctx, l, r.GetLastMessageID, func(pulsar.MessageID) {})
	if err != nil {
		return messageID{}, false, fmt.Errorf("find the end of %s: %w", r.Topic(), err)
	}
	id = messageID{last.LedgerID(), last.EntryID()}
	return id, id.ledger >= 0 && id.entry >= 0, nil
}

// readAt reads the message at id, or the first one after it that is still there.
func (l *Log) readAt(ctx context.Context, p place, id messageID) (_ received, err error) {
	o := readerOptions(p, mark{id: id}, true)
	o.ReceiverQueueSize = 1 // Pulsar would send a thousand more
	r, err := l.newReader(ctx, o)
	if err != nil {
		return received{}, err
	}
	defer r.Close()
	last, some, err := l.lastMessage(ctx, r)
	if err != nil {
		return received{}, err
	}
	if !some || last.before(id) {
		return received{}, fmt.Errorf("%w: message %s of %s", audit.ErrNotFound, id, p.name)
	}
	waiting, cancel := context.WithTimeout(ctx, operationTimeout) // it may hear nothing: see feed
	defer cancel()
	m, err := r.Next(waiting)
	if err != nil {
		return received{}, fmt.Errorf("read %s: %w", p.name, meaning(err))
	}
	return receive(m), nil
}

// errNotServed is for events of a domain that the log was not opened for.
var errNotServed = errors.New("this log was not opened for that domain or topic")
