package broker

import "sync"

// tasks counts what is under way: requests and background work. Unlike with a
// sync.WaitGroup, new ones may start while somebody waits for the last to end.
type tasks struct {
	mu   sync.Mutex
	n    int           // guarded by mu
	last chan struct{} // guarded by mu: closed when n falls to 0; nil if nobody waits
}

// add counts one task more. Pair it with done.
func (t *tasks) add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *tasks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.last != nil {
		close(t.last)
		t.last = nil
	}
}

// Go runs f in a goroutine that counts as a task.
func (t *tasks) Go(f func()) {
	t.add()
	go func() {
		defer t.done()
		f()
	}()
}

// none is closed as soon as no task is under way.
func (t *tasks) none() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		over := make(chan struct{})
		close(over)
		return over
	}
	if t.last == nil {
		t.last = make(chan struct{})
	}
	return t.last
}
