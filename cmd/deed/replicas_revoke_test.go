package main

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/broker/httpapi"
)

// TestARevocationReachesEveryReplicaOnPulsar has agents call at three replicas without a
// pause while one of these is told to revoke them, and measures how long after the
// command the last call was still accepted.
func TestARevocationReachesEveryReplicaOnPulsar(t *testing.T) {
	f := newFleet(t, 3)
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
