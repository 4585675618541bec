package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/httpapi"
)

func callOptions() client.CallOptions { return client.CallOptions{} }

// hold refunds amount of pay-1004, and returns once the call waits for a lead.
func (b *runningDemo) hold(t *testing.T, amount int) client.Pending {
	t.Helper()
	arguments := fmt.Appendf(nil, `{"payment":"pay-1004","amount":%d,"reason":"late"}`, amount)
	r, err := b.agent.Call(t.Context(), "payments.refund", arguments, callOptions())
	if err != nil {
		t.Fatal(err)
	}
	if r.Pending == nil || r.Pending.Released {
		t.Fatalf("the call is not held: %+v", r)
	}
	return *r.Pending
}

// approve casts bob's vote.
func (b *runningDemo) approve(t *testing.T, p client.Pending) {
	t.Helper()
	if err := b.voting(t, p)(); err != nil {
		t.Fatal(err)
	}
}

// voting is bob's vote, ready to be cast.
func (b *runningDemo) voting(t *testing.T, p client.Pending) func() error {
	t.Helper()
	c, err := b.bob.Call(t.Context(), p.CallID)
	if err != nil {
		t.Fatal(err)
	}
	return func() error {
		_, err := b.bob.Vote(t.Context(), p.CallID, httpapi.Approval{Verdict: string(audit.Approve), Digest: c.Digest})
		return err
	}
}

// killAfterAnswer kills the broker delay after it has answered the vote.
func (b *runningDemo) killAfterAnswer(t *testing.T, p client.Pending, delay time.Duration) {
	t.Helper()
	b.approve(t, p)
	<-time.After(delay)
	b.kill(t)
}

// killAfterSending kills the broker delay after the vote was sent, answered or not.
func (b *runningDemo) killAfterSending(t *testing.T, p client.Pending, delay time.Duration) {
	t.Helper()
	vote, voted := b.voting(t, p), make(chan struct{})
	go func() {
		defer close(voted)
		_ = vote() // the broker may die before it answers
	}()
	<-time.After(delay)
	b.kill(t)
	<-voted
}

// voteAgain casts the vote that a crash may have lost, if the call still waits for it.
func (b *runningDemo) voteAgain(t *testing.T, p client.Pending) (lost bool) {
	t.Helper()
	c, err := b.bob.Call(t.Context(), p.CallID)
	if err != nil {
		t.Fatal(err)
	}
	if c.State != "held" || len(c.Votes) > 0 {
		return false
	}
	b.approve(t, p)
	return true
}

type outcome struct {
	text string
	err  error
}

// await waits until the call is closed.
func (b *runningDemo) await(t *testing.T, callID string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := b.agent.Await(ctx, callID, client.Waiting{Wait: patience})
	if err != nil {
		return outcome{err: err}
	}
	if r.Pending != nil {
		t.Fatalf("call %s is still open: %+v", callID, *r.Pending)
	}
	return outcome{text: r.Text}
}

// refunded is what the ledger says was given back of pay-1004.
func (b *runningDemo) refunded(t *testing.T) int {
	t.Helper()
	r, err := b.agent.Call(t.Context(), "payments.payments", []byte(`{"account":"acc-grace"}`), callOptions())
	if err != nil {
		t.Fatal(err)
	}
	var listed struct {
		Payments []struct {
			Payment  string `json:"payment"`
			Refunded int    `json:"refunded"`
		} `json:"payments"`
	}
	if err := json.Unmarshal([]byte(r.Text), &listed); err != nil {
		t.Fatal(err)
	}
	for _, p := range listed.Payments {
		if p.Payment == "pay-1004" {
			return p.Refunded
		}
	}
	t.Fatalf("the ledger has no pay-1004: %s", r.Text)
	return 0
}

// TestKilledBetweenApprovalAndResult kills the broker at any moment around an approval.
// After the restart the refund is made once, or it is unknown and a person says what
// the ledger shows; it is never made twice.
func TestKilledBetweenApprovalAndResult(t *testing.T) {
	t.Parallel()
	const rounds = 9
	h := newHome(t)
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano()))) // of delays
	total, ends := 0, map[string]int{}
	b := h.demo(t)
	key := b.VerifierKey
	for i := range rounds {
		amount := 101 + i // each refund shows in the sum
		held := b.hold(t, amount)
		what, lost := "the answer", false
		var delay time.Duration
		if i%3 == 0 { // the first one at once
			delay = time.Duration(i) * time.Duration(random.IntN(int(20*time.Millisecond))) / rounds
			b.killAfterAnswer(t, held, delay)
		} else {
			what, delay = "the vote", time.Duration(random.IntN(int(12*time.Millisecond)))
			b.killAfterSending(t, held, delay)
		}
		h.must(t, []string{"verify", h.data(), "--key", key}, "verified: ") // as the crash left it

		b = b.again(t)
		if what == "the vote" {
			lost = b.voteAgain(t, held)
		}
		got := b.await(t, held.CallID)
		now := b.refunded(t)
		if done := now - total; done != 0 && done != amount {
			t.Fatalf("round %d: %d was refunded for a call of %d", i, done, amount)
		}
		end := b.judge(t, held.CallID, got, now > total)
		t.Logf("round %d: killed %s after %s (vote lost: %t): %s, refunded %d of %d", i, delay, what, lost, end, now-total, amount)
		ends[end]++
		total = now
		h.must(t, []string{"verify", h.data(), "--key", key}, "verified: ")
	}
	t.Logf("ends: %v", ends)
	b.kill(t)
	b = b.again(t)
	if later := b.refunded(t); later != total {
		t.Errorf("refunded %d, and %d after another restart", total, later)
	}
}

// judge compares how a call ended with what the ledger shows, and reconciles what is unknown.
func (b *runningDemo) judge(t *testing.T, callID string, got outcome, refunded bool) string {
	t.Helper()
	if got.err == nil {
		if !refunded {
			t.Errorf("call %s has a result, and the ledger no refund: %s", callID, got.text)
		}
		return "result"
	}
	e, ok := errors.AsType[*client.Error](got.err)
	if !ok || e.Kind != client.OutcomeUnknown {
		t.Fatalf("call %s: %v, want a result or unknown", callID, got.err)
	}
	flag, words := "--did-not", "did not happen"
	if refunded {
		flag, words = "--happened", "happened"
	}
	b.home.must(t, []string{"reconcile", callID, flag, "--note", "as in the ledger", "--as", "bob", "--url", b.url()}, words)
	return "unknown"
}
