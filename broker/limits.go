package broker

import (
	"context"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
)

const (
	// maxCallers bounds those who are counted at the same time.
	maxCallers = 100_000
	// noteEvery is how often the same limit of the same caller is recorded as reached:
	// otherwise a runaway agent could fill the log.
	noteEvery = 10 * time.Second
)

// Limit bounds calls; zero values do not.
type Limit struct {
	PerSecond  float64 // with a burst of twice as many
	Concurrent int     // that run at once
}

// Limits bound the calls of each person, each agent, each tool, and all together.
type Limits struct {
	Principal, Agent, Tool, Tenant Limit
}

// limits count calls. Who asks at all is counted first, by caller; what is about to run then
// by person, agent, tool and tenant.
type limits struct {
	callers *gate
	gates   []*gate

	mu    sync.Mutex
	noted map[string]time.Time // guarded by mu: limits that were recorded as reached
}

func newLimits(perSecond float64, l Limits) *limits {
	return &limits{
		callers: newGate("agent", Limit{PerSecond: perSecond}, nil),
		gates: []*gate{
			newGate("person", l.Principal, func(c *call) string { return c.req.Identity.Issuer + "\x00" + c.req.Identity.Principal }),
			newGate("agent", l.Agent, func(c *call) string {
				if len(c.req.Identity.Chain) == 0 {
					return ""
				}
				return c.req.Identity.Issuer + "\x00" + c.req.Identity.Chain[0].ID
			}),
			newGate("tool", l.Tool, func(c *call) string { return c.intent.Tool }),
			newGate("tenant", l.Tenant, func(*call) string { return "all" }),
		},
		noted: map[string]time.Time{},
	}
}

// allow takes one request of id into account, or says when the next one may come.
func (l *limits) allow(id *agents.Identity) error {
	_, wait, ok := l.callers.enter(id.Key(), false)
	if ok {
		return nil
	}
	return tooMany(l.callers, wait)
}

// enter takes a call that is about to be opened into account, until leave. One that will be
// held does not run yet.
func (l *limits) enter(c *call) (leave func(), err *Error) {
	var undo, leaves []func()
	leave = func() {
		for _, f := range leaves {
			f()
		}
	}
	for _, g := range l.gates {
		key := g.key(c)
		if key == "" || g.limit == (Limit{}) {
			continue
		}
		back, wait, ok := g.enter(key, !c.held())
		if !ok {
			leave()
			for _, f := range undo {
				f()
			}
			return nil, tooMany(g, wait)
		}
		undo = append(undo, back.refund)
		leaves = append(leaves, back.leave)
	}
	return leave, nil
}

func tooMany(g *gate, wait time.Duration) *Error {
	return &Error{
		Kind: Overloaded, Op: "limit calls", Retry: max(wait, time.Second),
		Public: "too many calls of this " + g.name + "; nothing was done, call again more slowly",
	}
}

// note reports whether a limit that was reached is to be recorded.
func (l *limits) note(who string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.noted[who]; ok && now.Sub(last) < noteEvery || len(l.noted) >= maxCallers {
		return false
	}
	l.noted[who] = now
	return true
}

// forget drops who has been quiet long enough to have the whole burst again.
func (l *limits) forget() {
	l.callers.forget()
	for _, g := range l.gates {
		g.forget()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for who, last := range l.noted {
		if time.Since(last) >= noteEvery {
			delete(l.noted, who)
		}
	}
}

// limited answers a call that a limit stops. It is counted, and recorded now and then.
func (b *Broker) limited(ctx context.Context, c *call, fail *Error) error {
	b.metrics.limited.Add(ctx, 1)
	if !b.limits.note(c.req.Identity.Key()+fail.Public, time.Now()) {
		return fail
	}
	if c.intent.Tool == "" {
		c.intent = b.asked(c)
	}
	return b.refuse(ctx, c, &refusal{kind: fail.Kind, code: audit.CodeOverloaded, public: fail.Public, retry: fail.Retry})
}
