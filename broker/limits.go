package broker

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/deedbroker/deed/agents"
)

// maxCallers bounds those who are counted at the same time.
const maxCallers = 100_000

// limits bounds how fast one caller may call. A refused call is counted, not
// recorded one by one: otherwise a runaway agent could fill the log.
type limits struct {
	perSecond float64

	mu      sync.Mutex
	callers map[string]*rate.Limiter // guarded by mu
}

func newLimits(perSecond float64) *limits {
	return &limits{perSecond: perSecond, callers: map[string]*rate.Limiter{}}
}

func (l *limits) burst() int { return max(1, int(2*l.perSecond)) }

// allow takes one call of id into account, or says when the next one may come.
func (l *limits) allow(id *agents.Identity) error {
	key := id.Key()
	l.mu.Lock()
	lim := l.callers[key]
	if lim == nil && len(l.callers) >= maxCallers {
		l.mu.Unlock()
		return &Error{
			Kind: Overloaded, Op: "limit calls", Retry: time.Second,
			Public: "too many agents call at once; nothing was done, call again in a moment",
		}
	}
	if lim == nil {
		lim = rate.NewLimiter(rate.Limit(l.perSecond), l.burst())
		l.callers[key] = lim
	}
	l.mu.Unlock()
	if lim.Allow() {
		return nil
	}
	return &Error{
		Kind: Overloaded, Op: "limit calls", Retry: time.Duration(float64(time.Second) / l.perSecond),
		Public: "too many calls from this agent; nothing was done, call again more slowly",
	}
}

// forget drops the callers who have been quiet long enough to have their whole burst again.
func (l *limits) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, lim := range l.callers {
		if lim.Tokens() >= float64(l.burst()) {
			delete(l.callers, key)
		}
	}
}
