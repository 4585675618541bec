package pulsar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit"
)

// vault keeps the payloads of a domain.
type vault struct {
	log    *Log
	places []place // the partitions of its topic
	keys   *keyring
	finder []*finder // one for each partition, as is a packer
	packer []*packer

	mu        sync.Mutex
	producers []pulsar.Producer // guarded by mu: one for each partition; nil until it is needed again
	large     []pulsar.Producer // guarded by mu: for what fits no single message
}

// maxSingle is how many bytes a message has that isn't sent in chunks.
const maxSingle = 4 << 20

func (l *Log) newVault(ctx context.Context, domain string) (*vault, error) {
	v := &vault{log: l}
	names, err := l.partitionsOf(ctx, TopicName(l.options.Tenant, domain, TopicPayloads))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		p := newPlace(l.options.Tenant, domain, TopicPayloads, name)
		v.places = append(v.places, p)
		v.finder, v.packer = append(v.finder, newFinder(l, p)), append(v.packer, &packer{})
	}
	v.producers, v.large = make([]pulsar.Producer, len(names)), make([]pulsar.Producer, len(names))
	v.keys = &keyring{log: l, place: newPlace(l.options.Tenant, domain, TopicKeys, TopicName(l.options.Tenant, domain, TopicKeys))}
	return v, nil
}

func (v *vault) open(ctx context.Context) error {
	for i, p := range v.places {
		if err := v.log.admin.checkDeduplication(ctx, p, false); err != nil {
			return err
		}
		if _, err := v.producer(ctx, i, false); err != nil {
			return err
		}
	}
	if err := v.log.admin.checkDeduplication(ctx, v.keys.place, false); err != nil {
		return err
	}
	return v.keys.open(ctx)
}

// producer returns the one for a partition, which is made if there is none.
func (v *vault) producer(ctx context.Context, i int, large bool) (pulsar.Producer, error) {
	all := v.producers
	o := pulsar.ProducerOptions{
		Topic: v.places[i].name, SendTimeout: -1, MaxPendingMessages: maxPending, DisableMultiSchema: true, DisableBatching: true,
	}
	if large {
		all = v.large
		o.EnableChunking, o.ChunkMaxMessageSize = true, maxSingle
	}
	v.mu.Lock()
	p := all[i]
	v.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := v.log.newProducer(ctx, o)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if all[i] != nil { // somebody else was quicker
		v.log.spawn(p.Close)
		return all[i], nil
	}
	all[i] = p
	return p, nil
}

// keeping is the payloads of one event on their way.
type keeping struct {
	acked chan struct{}
	err   error // set before acked is closed
}

// keep sends the payloads of an event, and calls done when Pulsar has answered.
func (v *vault) keep(ctx context.Context, e audit.Event, done func()) (*keeping, error) {
	body, err := v.seal(ctx, e)
	var p pulsar.Producer
	i := route(keyOf(e), len(v.places))
	large := len(body) > maxSingle
	if err == nil {
		p, err = v.producer(ctx, i, large)
	}
	if err != nil {
		done()
		return nil, err
	}
	k := &keeping{acked: make(chan struct{})}
	settle := func(err error) {
		if k.err = err; err != nil {
			v.drop(i, p)
		} else {
			v.finder[i].found.add(e.ID, body)
		}
		close(k.acked)
		done()
	}
	one := &pack{by: p, event: e.ID, body: body, settle: settle}
	if large {
		new(packer).add(ctx, one)
	} else {
		v.packer[i].add(ctx, one)
	}
	return k, nil
}

// drop gives up a producer that failed.
func (v *vault) drop(i int, p pulsar.Producer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, all := range [][]pulsar.Producer{v.producers, v.large} {
		if all[i] == p {
			all[i] = nil
			v.log.spawn(p.Close)
		}
	}
}

func (v *vault) seal(ctx context.Context, e audit.Event) ([]byte, error) {
	var all []sealedPayload
	for _, p := range e.Payloads {
		h, key, err := v.keys.take(ctx)
		if err != nil {
			return nil, err
		}
		h.Name, h.MediaType = p.Name, p.MediaType
		s, err := sealPayload(e.ID, p, h, key)
		if err != nil {
			return nil, fmt.Errorf("encrypt payload: %w", err)
		}
		all = append(all, s)
	}
	return encodePayloads(all)
}

// await returns nil once the payloads are stored. No payloads are stored at once.
func (k *keeping) await(ctx context.Context) error {
	if k == nil {
		return nil
	}
	select {
	case <-k.acked:
	case <-ctx.Done():
		return fmt.Errorf("%w: its payloads are not acknowledged: %w", audit.ErrUncertain, ctx.Err())
	}
	if k.err != nil {
		return fmt.Errorf("store payloads: %w", uncertain(k.err))
	}
	return nil
}

// Payload is [audit.Payloads.Payload].
func (l *Log) Payload(ctx context.Context, at audit.Position, name string) (audit.Payload, error) {
	p, err := l.payload(ctx, at, name)
	if err != nil {
		return audit.Payload{}, fmt.Errorf("read payload %.*q of %s: %w", audit.MaxPayloadName, name, at, err)
	}
	return p, nil
}

func (l *Log) payload(ctx context.Context, at audit.Position, name string) (audit.Payload, error) {
	s, of, err := l.sealed(ctx, at, name)
	if err != nil {
		return audit.Payload{}, err
	}
	key, err := l.vaults[of.domain].keys.key(s.head)
	if err != nil {
		return audit.Payload{}, err
	}
	return s.open(of.event, key)
}

// sealed finds an encrypted payload and the note of its record.
func (l *Log) sealed(ctx context.Context, at audit.Position, name string) (sealedPayload, note, error) {
	all, of, err := l.sealedOf(ctx, at)
	if err != nil {
		return sealedPayload{}, note{}, err
	}
	for _, s := range all {
		if s.head.Name == name {
			return s, of, nil
		}
	}
	return sealedPayload{}, note{}, audit.ErrNotFound
}

// sealedOf finds the encrypted payloads of a record, and its note.
func (l *Log) sealedOf(ctx context.Context, at audit.Position) ([]sealedPayload, note, error) {
	of, p, err := l.noteAt(ctx, at)
	if err != nil {
		return nil, note{}, err
	}
	if !of.payloads {
		return nil, note{}, audit.ErrNotFound
	}
	v := l.vaults[of.domain]
	if v == nil {
		return nil, note{}, fmt.Errorf("%w: %w", audit.ErrNotFound, errNotServed)
	}
	finder := v.finder[route(of.key, len(v.places))]
	all, err := finder.find(ctx, of.event, of.at, func() bool { return p.diedAfter(of) })
	if errors.Is(err, audit.ErrNotFound) {
		err = finder.absent(ctx, p, of)
	}
	return all, of, err
}

// strange notes a message that no honest broker has written.
func (l *Log) strange(p place, m pulsar.Message, err error) {
	l.options.Logger.LogAttrs(l.ctx, slog.LevelError, "message is not what belongs in its topic",
		slog.String("topic", p.name), slog.String("message", m.ID().String()), slog.Any("error", err))
}

func (v *vault) close() {
	v.mu.Lock()
	all := append(append([]pulsar.Producer(nil), v.producers...), v.large...)
	v.mu.Unlock()
	for _, p := range all {
		if p != nil {
			p.Close()
		}
	}
	for _, f := range v.finder {
		f.close()
	}
	v.keys.close()
}
