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

// awaitFold waits until what was just acknowledged has been folded here, or for as long
// as a call waits for the log. It reports whether it has been. Changed is asked before
// done is, and closes when there is something new to ask for.
func (b *Broker) awaitFold(ctx context.Context, changed func() <-chan struct{}, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		news := changed()
		if done() {
			return true
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false
		}
	}
}
