package broker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
)

// crowd is a cluster under load, whose members come and go.
type crowd struct {
	*cluster
	names []string

	mu      sync.Mutex
	members map[string]*member // guarded by mu
	told    map[string]bool    // guarded by mu: calls whose client got the tool's answer
}

func (c *crowd) any(random *rand.Rand) *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[c.names[random.IntN(len(c.names))]]
}

// disturb cuts one member off for a while, or kills it and starts it again.
func (c *crowd) disturb(t *testing.T, random *rand.Rand) {
	t.Helper()
	name := c.names[random.IntN(len(c.names))]
	c.mu.Lock()
	m := c.members[name]
	c.mu.Unlock()
	m.session.CutOff()
	pauseFor(time.Duration(random.IntN(120)) * time.Millisecond)
	kill := random.IntN(2) == 0
	if !kill {
		m.session.Return()
		pauseFor(5 * time.Millisecond)
	}
	select {
	case <-m.Ended(): // it woke up fenced
	default:
		if !kill {
			return
		}
		go m.Stop()
	}
	var again *member
	until(t, "its name is free", func() bool {
		session, err := c.shared.Join(name)
		if err != nil {
			m.session.CutOff() // it ends
			return false
		}
		again = c.start(t, name, session, brokertest.Options{})
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[name] = again
}

func pauseFor(d time.Duration) { <-time.After(d) }

func (c *crowd) call(ctx context.Context, random *rand.Rand, i int) {
	text := "plain"
	if random.IntN(3) == 0 {
		text = fmt.Sprintf("ask %d", i)
	}
	reply, err := c.any(random).Call(ctx, echo(text))
	if err != nil || reply.Pending == nil {
		c.tell(reply)
		return
	}
	for range 40 {
		for _, h := range c.any(random).Pending(ctx, bob) {
			if h.ID == reply.CallID && h.MayVote {
				votes(bob, audit.Approve)(ctx, c.any(random).Rig, h)
			}
		}
		got, err := c.any(random).Await(ctx, copilot, reply.CallID, nil)
		if err == nil && got.Pending == nil {
			c.tell(got)
			return
		}
		pauseFor(5 * time.Millisecond)
	}
}

func (c *crowd) tell(reply *broker.Reply) {
	if reply == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[reply.CallID] = true
}

func TestReplicasThatComeAndGoUnderLoad(t *testing.T) {
	t.Parallel()
	c := &crowd{cluster: newCluster(t), names: []string{"a", "b", "x"}, members: map[string]*member{}, told: map[string]bool{}}
	for _, name := range c.names {
		c.members[name] = c.join(t, name, brokertest.Options{})
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 6 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					c.call(context.Background(), random, i*10_000+n)
				}
			}
		})
	}
	rounds := 16
	if testing.Short() {
		rounds = 4
	}
	random := rand.New(rand.NewPCG(9, 9))
	for range rounds {
		c.disturb(t, random)
		pauseFor(30 * time.Millisecond)
	}
	close(stop)
	clients.Wait()
	c.settled(t)
}

// foldAll folds every call of a log.
func foldAll(t *testing.T, log *embedded.Log, state map[string]*calls.Call) {
	t.Helper()
	for rec, err := range log.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := rec.Event()
		if err != nil {
			t.Fatal(err)
		}
		if e.Topic != audit.TopicCalls {
			continue
		}
		if state[e.Subject] == nil {
			state[e.Subject] = &calls.Call{}
		}
		if _, err := state[e.Subject].Apply(e, rec.Position); err != nil {
			t.Error(err)
		}
	}
}

// settled waits until every call is held or closed, and checks all of them.
func (c *crowd) settled(t *testing.T) {
	t.Helper()
	state := map[string]*calls.Call{}
	until(t, "no call is running", func() bool {
		clear(state)
		foldAll(t, c.log, state)
		for _, s := range state {
			if s.Open() && s.State != calls.Held {
				return false
			}
		}
		return true
	})
	verified(t, c.log, "at the end")
	ends := map[audit.Type]int{}
	for id, s := range state {
		ends[s.Closing.Type]++
		if n := c.ran.of(id); n > 1 {
			t.Errorf("call %s ran %d times", id, n)
		}
		if c.told[id] && s.Closing.Type != audit.CallResult {
			t.Errorf("call %s is %s %s, its client has the answer", id, s.State, s.Closing.Type)
		}
	}
	for id := range c.started() {
		if state[id] == nil {
			t.Errorf("call %s ran without an intent", id)
		}
	}
	t.Logf("%d calls: %v", len(state), ends)
	if len(state) < 20 {
		t.Errorf("only %d calls were made", len(state))
	}
}
