package live

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Hub is the live end of a log, and all who watch it. It is an [http.Handler]
// that serves the stream.
type Hub struct {
	cfg      Config
	url      *url.URL
	tail     *tail
	openings *openings
	spans    spans
	metrics  *metrics

	mu      sync.Mutex
	total   int            // guarded by mu: viewers
	by      map[string]int // guarded by mu: viewers of each identity
	closing bool           // guarded by mu: no more viewers
	viewers sync.WaitGroup

	live context.Context //nolint:containedctx // the life of the hub, not of a request
	stop context.CancelFunc
}

// New checks cfg and returns a hub that has nothing to show until it is run.
func New(cfg Config) (*Hub, error) {
	u, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("configure live stream: %w", err)
	}
	m, err := newMetrics(cfg.Meter)
	if err != nil {
		return nil, fmt.Errorf("configure live stream: %w", err)
	}
	h := &Hub{cfg: cfg, url: u, tail: newTail(cfg.Start, cfg.Limits), openings: newOpenings(), metrics: m, by: map[string]int{}}
	h.live, h.stop = context.WithCancel(context.Background())
	return h, nil
}

// Run follows the log until ctx is done. Then, or when the log cannot be followed,
// it says goodbye to all viewers (close code 1001), waits for their connections
// to end, and takes no more.
func (h *Hub) Run(ctx context.Context) error {
	g, following := errgroup.WithContext(ctx)
	g.Go(func() error { return h.follow(following) })
	g.Go(func() error {
		h.tail.ringBell(following, h.batchEvery)
		return nil
	})
	err := g.Wait()
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	h.stop()
	h.viewers.Wait()
	if err != nil {
		return fmt.Errorf("run live stream: %w", err)
	}
	return nil
}

func (h *Hub) follow(ctx context.Context) error {
	for rec, err := range h.cfg.Log.Follow(ctx, h.cfg.Start) {
		if err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		f := newFrame(rec)
		if h.watched() {
			h.look(ctx, f)
		}
		h.tail.add(f)
	}
	if ctx.Err() == nil {
		return errors.New("follow log: it ended")
	}
	return nil
}

// perViewer is how much longer records are gathered for each viewer, so that many of them
// leave the calls their processors.
const perViewer = 250 * time.Microsecond

func (h *Hub) batchEvery() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.cfg.Limits.BatchEvery, time.Duration(h.total)*perViewer)
}

func (h *Hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total > 0
}

// Reasons why there is no room for a viewer.
var (
	errClosing  = errors.New("the broker is stopping")
	errFull     = errors.New("too many viewers are connected")
	errFullOfID = errors.New("too many viewers of yours are connected; close one of them")
)

// enter makes room for one more viewer of an identity, or says why there is none.
func (h *Hub) enter(ctx context.Context, key string) error {
	h.mu.Lock()
	switch {
	case h.closing:
		h.mu.Unlock()
		return errClosing
	case h.total >= h.cfg.Limits.MaxViewers:
		h.mu.Unlock()
		return errFull
	case h.by[key] >= h.cfg.Limits.MaxViewersPerIdentity:
		h.mu.Unlock()
		return errFullOfID
	}
	h.total++
	h.by[key]++
	h.viewers.Add(1)
	first := h.total == 1
	h.mu.Unlock()
	h.metrics.opened(ctx)
	if first {
		h.lookBack(ctx)
	}
	return nil
}

// lookBack reads what came while nobody watched, for the tools of the calls in it.
func (h *Hub) lookBack(ctx context.Context) {
	end, _ := h.tail.end()
	n := h.tail.start()
	for n < end {
		frames, ok := h.tail.after(n, false, make([]*frame, 0, 256))
		if !ok || len(frames) == 0 {
			return
		}
		for _, f := range frames {
			h.look(ctx, f)
		}
		n += uint64(len(frames))
	}
}

func (h *Hub) leave(ctx context.Context, key string, code int) {
	defer h.viewers.Done()
	h.mu.Lock()
	h.total--
	if h.by[key]--; h.by[key] == 0 {
		delete(h.by, key)
	}
	h.mu.Unlock()
	h.metrics.ended(ctx, code)
}
