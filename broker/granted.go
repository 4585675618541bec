package broker

import (
	"context"
	"sync"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/grants"
)

// granted is the book of grants as the log has it, and tells when it changes.
type granted struct {
	book grants.Book

	mu      sync.Mutex
	changed chan struct{} // guarded by mu: closed and replaced at each change
}

func newGranted() *granted { return &granted{changed: make(chan struct{})} }

// fold reads an event of control.
func (g *granted) fold(e audit.Event) error {
	_, err := g.book.Apply(e)
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.changed)
	g.changed = make(chan struct{})
	return err
}

func (g *granted) wait() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// awaitGrants waits until what was just acknowledged has been folded here, or for as
// long as a call waits for the log.
func (b *Broker) awaitGrants(ctx context.Context, done func() bool) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		changed := b.granted.wait()
		if done() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
