package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar/pulsarbench"
	"github.com/deedbroker/deed/broker/httpapi"
)

// TestReplicasHearOfEachOther measures how soon three replicas on one Pulsar act upon what
// one of them was told.
func TestReplicasHearOfEachOther(t *testing.T) {
	f := newFleet(t, 3)
	t.Run("a vote", f.votesRelease)
	t.Run("an acknowledgement that comes too late", f.lateAcknowledgement)
	t.Run("a revocation", f.revocationsStop)
}

// lateAcknowledgement stops Pulsar while an agent calls. The intent is stored when Pulsar
// goes on, the call was refused by then: it is closed as cancelled, and nothing ran.
func (f *fleet) lateAcknowledgement(t *testing.T) {
	r := f.replicas[0]
	if err := f.pulsar.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err := r.agent.Call(t.Context(), "work.do", []byte(`{"token":"late","ask":false}`), client.CallOptions{})
	took := time.Since(began)
	if err := f.pulsar.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Kind != client.LogUnavailable || took > 30*time.Second {
		t.Errorf("after %v: %v, want that the log is unavailable", took, err)
	}
	f.until(t, "the call is closed", func() error {
		closed, err := r.bob.Calls(t.Context(), url.Values{"code": {audit.CodeUnacknowledged}, "outcome": {"cancelled"}}, 2)
		if err == nil && len(closed) != 1 {
			err = fmt.Errorf("%d are", len(closed))
		}
		return err
	})
	if n := f.worker.times()["late"]; n != 0 {
		t.Errorf("it ran %d times", n)
	}
	for _, r := range f.replicas {
		f.awaitReady(t, r)
	}
}

// votes are how often a vote is measured.
const votes = 30

// votesRelease has people approve at one replica what is held at another, and measures
// how long after the vote the agent, who waits there, has its answer.
func (f *fleet) votesRelease(t *testing.T) {
	acks, err := pulsarbench.Publish(t.Context(), f.pulsar.URL(), f.tenant.TokenFile, "persistent://"+f.tenant.Name+"/deed/rejections", 1, 1200, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(acks)
	ack := acks[len(acks)/2]
	var took []time.Duration
	for n := range votes {
		at, other := f.replicas[n%3], f.replicas[(n+1)%3]
		answered := make(chan error, 1)
		go func() {
			r, err := at.agent.Call(t.Context(), "work.do", fmt.Appendf(nil, `{"token":"vote-%d","ask":true}`, n), client.CallOptions{})
			for err == nil && r.Pending != nil {
				r, err = at.agent.Await(t.Context(), r.CallID, client.Waiting{})
			}
			answered <- err
		}()
		var held httpapi.HeldCall
		f.until(t, "a call is held", func() error {
			all, err := other.bob.Held(t.Context())
			if err == nil && len(all) == 0 {
				err = errors.New("none is")
			}
			if err == nil {
				held = all[0]
			}
			return err
		})
		began := time.Now()
		if _, err := other.bob.Vote(t.Context(), held.CallID, httpapi.Approval{Verdict: string(audit.Approve), Digest: held.Digest}); err != nil {
			t.Fatal(err)
		}
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began)-workTime)
	}
	slices.Sort(took)
	half, most := took[len(took)/2], took[len(took)-1]
	t.Logf("from a vote at one replica to the answer at another, without the tool's time: %v in the middle, %v at most; one acknowledgement of Pulsar's: %v; beyond two of them: %v",
		half.Round(100*time.Microsecond), most.Round(100*time.Microsecond), ack.Round(100*time.Microsecond), (half - 2*ack).Round(100*time.Microsecond))
}

// revocationsStop has agents call at three replicas without a pause while one of these is
// told to revoke them, and measures how long after the command the last call was still
// accepted.
func (f *fleet) revocationsStop(t *testing.T) {
	var begun time.Time
	var mu sync.Mutex
	last, calls := make([]time.Time, len(f.replicas)), 0
	accepted, warm := func(i int) {
		mu.Lock()
		defer mu.Unlock()
		last[i], calls = time.Now(), calls+1
	}, make(chan struct{}, 64)
	var agents sync.WaitGroup
	for i, r := range f.replicas {
		agents.Go(func() {
			for n := 0; ; n++ {
				args := fmt.Appendf(nil, `{"token":"%d-%d","ask":false}`, i, n)
				_, err := r.agent.Call(t.Context(), "work.do", args, client.CallOptions{})
				if err != nil {
					t.Logf("%s refuses: %v", r.name, err)
					return
				}
				accepted(i)
				select {
				case warm <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 30 {
		<-warm
	}
	begun = time.Now()
	if _, err := f.replicas[0].bob.Revoke(t.Context(), httpapi.NewRevocation{Kind: "agent", Value: "copilot", Reason: "it went wild"}); err != nil {
		t.Fatal(err)
	}
	told := time.Since(begun)
	agents.Wait()
	for i, r := range f.replicas {
		t.Logf("%s accepted its last call %v after the command", r.name, last[i].Sub(begun).Round(time.Millisecond))
	}
	t.Logf("%d calls; the command returned after %v, the last refusal began to hold after %v", calls, told.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
	for _, r := range f.replicas { // it survives a restart
		if list, err := r.bob.Revocations(t.Context()); err != nil || len(list) != 1 || list[0].Value != "copilot" {
			t.Errorf("%s lists %+v, %v", r.name, list, err)
		}
	}
}
