package broker

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// gate is one limit, counted apart for each key.
type gate struct {
	name  string
	limit Limit
	key   func(*call) string // empty: not counted

	mu    sync.Mutex
	seats map[string]*seat // guarded by mu
}

type seat struct {
	limiter *rate.Limiter // nil without a rate
	running int           // guarded by gate.mu
}

func newGate(name string, l Limit, key func(*call) string) *gate {
	return &gate{name: name, limit: l, key: key, seats: map[string]*seat{}}
}

func (g *gate) burst() int { return max(1, int(2*g.limit.PerSecond)) }

// passage is a call that was let through.
type passage struct {
	refund func() // gives the rate back, of a call that is refused elsewhere
	leave  func() // once it does not run any more
}

// enter counts a call that runs, or only asks. When it may not, wait is when it may.
func (g *gate) enter(key string, runs bool) (p passage, wait time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.seats[key]
	switch {
	case s == nil && len(g.seats) >= maxCallers:
		return p, time.Second, false
	case s == nil:
		s = &seat{}
		if g.limit.PerSecond > 0 {
			s.limiter = rate.NewLimiter(rate.Limit(g.limit.PerSecond), g.burst())
		}
		g.seats[key] = s
	}
	if runs && g.limit.Concurrent > 0 && s.running >= g.limit.Concurrent {
		return p, time.Second, false
	}
	p = passage{func() {}, func() {}}
	if s.limiter != nil {
		r := s.limiter.Reserve()
		if wait := r.Delay(); wait > 0 {
			r.Cancel()
			return p, wait, false
		}
		p.refund = r.Cancel
	}
	if runs {
		s.running++
		p.leave = func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			s.running--
		}
	}
	return p, 0, true
}

// forget drops the keys that nothing is owed to.
func (g *gate) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, s := range g.seats {
		if s.running == 0 && (s.limiter == nil || s.limiter.Tokens() >= float64(g.burst())) {
			delete(g.seats, key)
		}
	}
}
