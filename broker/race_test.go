package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// verified checks the whole log as a reviewer would.
func verified(t *testing.T, source verify.Source, when string) {
	t.Helper()
	report, err := verify.Verify(t.Context(), source, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("%s: %s", when, f)
	}
}

// runs counts how often the tool ran for each call.
type runs struct {
	mu    sync.Mutex
	times map[string]int
}

func (r *runs) count(_ context.Context, c tools.Call) (tools.Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times[c.ID]++
	return tools.Answer{Raw: json.RawMessage(`{"content":[]}`)}, nil
}

// Whatever people, agents, time and a failing log do to a held call at once: the log
// is sound, the call is closed once, and the tool ran at most once, after a release.
func TestRacesAboutAHeldCallLeaveASoundLog(t *testing.T) {
	t.Parallel()
	seeds := 24
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			raceOnce(t, rand.New(rand.NewPCG(uint64(seed), 7)))
		})
	}
}

func raceOnce(t *testing.T, random *rand.Rand) {
	t.Helper()
	rig, fake, log := faulty(t, brokertest.Options{AckWait: time.Second, HoldWait: time.Millisecond, Seal: true})
	ran := &runs{times: map[string]int{}}
	fake.Handle(toolstest.Define(toolstest.Echo, `{"text":{"type":"string"}}`, "text"), ran.count)
	var pending []broker.HeldCall
	for i := range 6 {
		text := [...]string{"ask", "ask two", "soon"}[random.IntN(3)]
		pending = append(pending, held(t, rig, fmt.Sprintf("%s %d", text, i)))
	}
	trouble(log, random)
	var wg sync.WaitGroup
	for _, h := range pending {
		for range 6 {
			move := moves[random.IntN(len(moves))]
			wg.Go(func() { move(t.Context(), rig, h) })
		}
	}
	wg.Wait()
	for _, h := range pending { // whoever is left over is withdrawn
		_, _ = rig.Cancel(t.Context(), copilot, h.ID, "done")
	}
	for _, h := range pending {
		until(t, "the call is closed", func() bool {
			_, _ = rig.Cancel(t.Context(), copilot, h.ID, "done")
			state := fold(t, rig, h.ID)
			return state.State == calls.Closed
		})
		checkRace(t, fold(t, rig, h.ID), ran)
	}
	verified(t, rig.Log, "after the race")
}

// trouble makes some appends fail, and some acknowledgements get lost.
func trouble(log *audittest.Faulty, random *rand.Rand) {
	types := []audit.Type{audit.CallApproval, audit.CallReleased, audit.CallDenied, audit.CallCancelled, audit.CallExpired, audit.CallResult}
	for range random.IntN(5) {
		fault := audittest.Fault{When: audittest.OfType(types[random.IntN(len(types))]), Times: 1 + random.IntN(2)}
		if random.IntN(2) == 0 {
			fault.LoseAck = audit.ErrUncertain
		} else {
			fault.Refuse = audit.ErrUnavailable
		}
		log.Inject(fault)
	}
}

type raceMove func(context.Context, *brokertest.Rig, broker.HeldCall)

// moves may all fail: what counts is what they leave.
var moves = []raceMove{
	votes(bob, audit.Approve), votes(bob, audit.Approve), votes(dave, audit.Approve), votes(dave, audit.Reject), votes(alice, audit.Approve),
	func(ctx context.Context, rig *brokertest.Rig, h broker.HeldCall) {
		_, _ = rig.Cancel(ctx, copilot, h.ID, "changed my mind")
	},
	func(ctx context.Context, rig *brokertest.Rig, h broker.HeldCall) {
		_, _ = rig.Call(ctx, call(copilot, "desk.echo", string(h.Arguments)))
	},
	func(ctx context.Context, rig *brokertest.Rig, _ broker.HeldCall) {
		_, _ = rig.Activate(ctx, brokertest.Files(policies+"\n// the same again\n"))
	},
	func(ctx context.Context, rig *brokertest.Rig, h broker.HeldCall) {
		_, _ = rig.Await(ctx, copilot, h.ID, nil)
	},
}

func votes(who *agents.Identity, v audit.Verdict) raceMove {
	return func(ctx context.Context, rig *brokertest.Rig, h broker.HeldCall) {
		_, _ = rig.Vote(ctx, broker.Vote{Identity: who, CallID: h.ID, Verdict: v, Digest: h.Intent.Digest, Reason: "because"})
	}
}

func checkRace(t *testing.T, c calls.Call, ran *runs) {
	t.Helper()
	ran.mu.Lock()
	defer ran.mu.Unlock()
	n := ran.times[c.ID]
	switch {
	case n > 1:
		t.Errorf("call %s ran %d times", c.ID, n)
	case n == 1 && c.Releasing.ID == "":
		t.Errorf("call %s ran without a release", c.ID)
	case n == 1 && c.Closing.Type != audit.CallResult:
		t.Errorf("call %s ran, and is closed as %s", c.ID, c.Closing.Type)
	case n == 0 && c.Closing.Type == audit.CallResult:
		t.Errorf("call %s has a result and did not run", c.ID)
	}
	quorum := 1
	if c.Releasing.ID != "" && strings.Contains(reasonsOf(c), "ask-two") {
		quorum = 2
	}
	if c.Releasing.ID != "" && len(c.Release.Approvals) < quorum {
		t.Errorf("call %s was released by %d votes, want %d", c.ID, len(c.Release.Approvals), quorum)
	}
}

func reasonsOf(c calls.Call) string {
	s := ""
	for _, r := range c.Intent.Decision.Reasons {
		s += r.Policy + " "
	}
	return s
}
