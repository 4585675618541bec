package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/httpapi"
)

// load is what many agents do at any replica, and what they were told. Each attempt at
// a call has a token of its own among its arguments.
type load struct {
	fleet *fleet
	total int
	next  atomic.Int64
	quiet atomic.Bool // no more trouble is to come
	tries atomic.Int64

	mu      sync.Mutex
	told    map[string]string // guarded by mu: attempts that were answered, and the ids of their calls
	refused map[string]bool   // guarded by mu: that were told that nothing was done
	unsure  map[string]string // guarded by mu: that were told that the outcome is unknown, or nothing at all; and why
}

func newLoad(f *fleet, total int) *load {
	f.load = &load{fleet: f, total: total, told: map[string]string{}, refused: map[string]bool{}, unsure: map[string]string{}}
	return f.load
}

// answers are how many attempts got an outcome.
func (l *load) answers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.told)
}

// lastUnsure is what agents were told in some of the newest attempts without an outcome.
func (l *load) lastUnsure() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	newest := slices.SortedFunc(maps.Keys(l.unsure), func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(b, a)) })
	var why []string
	for _, token := range newest[:min(len(newest), 5)] {
		why = append(why, token+": "+l.unsure[token])
	}
	return why
}

const (
	agentsAtWork = 16
	askEach      = 20 // one call of so many is held
)

// run makes the calls; it ends when all are made and there is no more trouble.
func (l *load) run(ctx context.Context) {
	var agents sync.WaitGroup
	for i := range agentsAtWork {
		agents.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 11))
			for n := l.next.Add(1); int(n) <= l.total || !l.quiet.Load(); n = l.next.Add(1) {
				if int(n) > l.total {
					rest(300 * time.Millisecond)
				}
				for !l.attempt(ctx, random, n) && ctx.Err() == nil {
					rest(time.Duration(50+random.IntN(200)) * time.Millisecond)
				}
			}
		})
	}
	agents.Wait()
}

func rest(d time.Duration) { <-time.After(d) }

func (l *load) any(random *rand.Rand) *replicaProcess {
	return l.fleet.replicas[random.IntN(len(l.fleet.replicas))]
}

// attempt makes a call once. It reports whether the agent is done with it: it got an
// outcome, or cannot know and must not call again.
func (l *load) attempt(ctx context.Context, random *rand.Rand, n int64) (done bool) {
	token := fmt.Sprintf("%d.%d", n, l.tries.Add(1))
	ask := n%askEach == 0
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := l.any(random).agent.Call(wait, "work.do", fmt.Appendf(nil, `{"token":%q,"ask":%t}`, token, ask), client.CallOptions{})
	if err == nil && r.Pending != nil {
		r, err = l.decide(wait, random, r)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.told[token] = r.CallID
		return true
	}
	e, ok := errors.AsType[*client.Error](err)
	switch {
	case ok && (e.Kind == client.LogUnavailable || e.Kind == client.Overloaded):
		l.refused[token] = true
		return false
	case ok && e.Kind == client.Unreachable:
		if errors.Is(err, syscall.ECONNREFUSED) {
			return false
		}
		l.unsure[token] = err.Error() // the connection may have broken after the request was sent
		return true
	default:
		l.unsure[token] = err.Error()
		return true
	}
}

// decide has bob approve a held call at any replica, and awaits it at any other, until it has an outcome.
func (l *load) decide(ctx context.Context, random *rand.Rand, r *client.Result) (*client.Result, error) {
	id := r.CallID
	for ctx.Err() == nil {
		at := l.any(random)
		if c, err := at.bob.Call(ctx, id); err == nil && c.State == "held" && len(c.Votes) == 0 {
			_, _ = at.bob.Vote(ctx, id, httpapi.Approval{Verdict: string(audit.Approve), Digest: c.Digest}) // or the next one does
		}
		got, err := l.any(random).agent.Await(ctx, id, client.Waiting{})
		e, ok := errors.AsType[*client.Error](err)
		switch {
		case err == nil && got.Pending == nil:
			return got, nil
		case ok && e.Kind == client.OutcomeUnknown:
			return nil, err
		}
		rest(20 * time.Millisecond)
	}
	return nil, ctx.Err()
}
