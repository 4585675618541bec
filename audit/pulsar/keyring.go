package pulsar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit"
)

// keyring has the keys of a domain's payloads: the trees in the topic keys, as far as
// they have not been erased. A tree is published again with less in it when a key is
// erased; what any version of it lacks is gone.
type keyring struct {
	log   *Log
	place place

	mu      sync.RWMutex
	feed    *feed             // guarded by mu
	trees   map[string]*grown // guarded by mu: by id
	own     string            // guarded by mu: the tree that this process takes keys from
	used    int64             // guarded by mu: how many
	read    messageID         // guarded by mu: the last message that was read
	broken  error             // guarded by mu: why it reads no more
	changed bell

	following sync.WaitGroup
}

func (k *keyring) open(ctx context.Context) error {
	if err := k.listen(ctx); err != nil {
		return err
	}
	return k.plant(ctx)
}

// listen reads what keys there are, and follows them.
func (k *keyring) listen(ctx context.Context) error {
	k.trees, k.read = map[string]*grown{}, messageID{-1, -1}
	f, err := k.log.newFeed(ctx, pulsar.ReaderOptions{
		Topic: k.place.name, StartMessageID: pulsar.EarliestMessageID(), ReadCompacted: true, SubscriptionRolePrefix: "deed",
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.feed = f
	k.mu.Unlock()
	k.following.Go(func() { k.follow(f) })
	return nil
}

// plant makes a new tree, to take keys from when it is stored.
func (k *keyring) plant(ctx context.Context) error {
	t := newKeyTree()
	if err := k.publish(ctx, func() (keyTree, error) { return t, nil }); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.own, k.used = t.ID, 0
	return nil
}

// take gives a key that nothing else is encrypted with.
func (k *keyring) take(ctx context.Context) (h payloadHead, key []byte, err error) {
	for {
		k.mu.Lock()
		n, t := k.used, k.trees[k.own]
		k.used++
		k.mu.Unlock()
		if n < 1<<keyDepth {
			h = payloadHead{Tree: t.ID, Leaf: leafPath(n)}
			key, err = t.key(h.Leaf)
			return h, key, err
		}
		if err := k.plant(ctx); err != nil {
			return payloadHead{}, nil, err
		}
	}
}

// key finds the key of a payload, or says [audit.ErrErased].
func (k *keyring) key(h payloadHead) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	t, known := k.trees[h.Tree]
	switch {
	case known:
		return t.key(h.Leaf)
	case k.broken != nil:
		return nil, k.broken
	default:
		return nil, fmt.Errorf("%w: the keys of a payload are not there", audit.ErrErased)
	}
}

// follow reads what anybody publishes until the reader is closed.
func (k *keyring) follow(f *feed) {
	for {
		m, some, err := f.next(k.log.ctx)
		if err != nil {
			k.mu.Lock()
			k.broken = err
			k.mu.Unlock()
			k.changed.ring()
			return
		}
		if !some {
			continue
		}
		t, err := parseKeyTree(m.Payload())
		k.mu.Lock()
		if before, known := k.trees[t.ID]; err == nil {
			if known {
				t = before.common(t)
			}
			k.trees[t.ID] = grow(t)
		} else {
			k.log.strange(k.place, m, err)
		}
		k.read = m.id
		k.mu.Unlock()
		k.changed.ring()
	}
}

// publish stores a tree that is made while nobody else can publish in this domain and
// everything published before is known. It returns when the tree is known.
func (k *keyring) publish(ctx context.Context, tree func() (keyTree, error)) error {
	producer, err := k.log.newProducer(ctx, inTurn(k.place.name))
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := k.catchUp(ctx); err != nil {
		return err
	}
	t, err := tree()
	if err != nil {
		return err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	sending, cancel := context.WithTimeout(ctx, operationTimeout) // its turn may be over
	defer cancel()
	if _, err := producer.Send(sending, &pulsar.ProducerMessage{Key: t.ID, Payload: text}); err != nil {
		return fmt.Errorf("write to %s: %w", k.place.name, uncertain(err))
	}
	return k.catchUp(ctx)
}

// catchUp waits until all that is in the topic now has been read.
func (k *keyring) catchUp(ctx context.Context) error {
	last, some, err := k.current().end(ctx)
	if err != nil || !some {
		return err
	}
	for {
		more := k.changed.wait()
		k.mu.RLock()
		broken, done := k.broken, !k.read.before(last)
		k.mu.RUnlock()
		if broken != nil || done {
			return broken
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
		}
	}
}

// erase makes keys impossible to find in what is published last, and then in what was
// published before.
func (k *keyring) erase(ctx context.Context, heads ...payloadHead) error {
	leaves := map[string][]string{} // by tree
	for _, h := range heads {
		if _, err := k.key(h); err == nil {
			leaves[h.Tree] = append(leaves[h.Tree], h.Leaf)
		} else if !errors.Is(err, audit.ErrErased) {
			return err
		}
	}
	for id, gone := range leaves {
		err := k.publish(ctx, func() (keyTree, error) {
			k.mu.RLock()
			defer k.mu.RUnlock()
			t := k.trees[id].keyTree
			for _, leaf := range gone {
				t = t.without(leaf)
			}
			return t, nil
		})
		if err != nil {
			return err
		}
	}
	err := k.purge(ctx)
	if errors.Is(err, ErrNotPermitted) {
		err = fmt.Errorf("%w: %w", audit.ErrResidue, err)
	}
	return err
}

func (k *keyring) close() {
	if f := k.current(); f != nil {
		f.close()
	}
	k.following.Wait()
}

func (k *keyring) current() *feed {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.feed
}
