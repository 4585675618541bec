package index_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/index"
)

func call(n int) wanted {
	return wanted{
		call: fmt.Sprintf("call-%d", n), domain: "payments", tool: "payments.refund", person: "alice", agent: "copilot",
		arguments: `{"amount":1}`, policy: "small-refunds",
	}
}

// following runs the index until the test ends.
func (h *history) following() *index.Index { return h.followingAs(h.log) }

// followingAs does it with a log that h.log is a part of.
func (h *history) followingAs(log audit.Log) *index.Index {
	h.t.Helper()
	i, err := index.Open(h.t.Context(), filepath.Join(h.t.TempDir(), index.FileName), slog.New(slog.DiscardHandler))
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(h.t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx, log, h.log) }()
	h.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
		if err := i.Close(); err != nil {
			h.t.Error(err)
		}
	})
	return i
}

func TestHistoryIsRightAsSoonAsACallIs(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	i := h.following()
	for n := range 100 {
		h.open(call(n))
		h.result("payments", call(n).call)
		page, err := i.Search(t.Context(), index.Query{Domains: []string{"payments"}, State: "closed", Limit: 1})
		if err != nil || len(page.Calls) != 1 || page.Calls[0].ID != call(n).call {
			t.Fatalf("after %s: %+v, %v", call(n).call, page.Calls, err)
		}
		got, err := i.Call(t.Context(), call(n).call)
		if err != nil || len(got.Events) != 2 {
			t.Fatalf("%s has the events %+v, %v", call(n).call, got.Events, err)
		}
	}
	agents, err := i.Agents(t.Context(), "payments")
	if err != nil || len(agents) != 1 || agents[0].Outcomes["ok"] != 100 {
		t.Errorf("got agents %+v, %v", agents, err)
	}
}

// openAtOnce opens so many calls, which share a commit.
func (h *history) openAtOnce(calls int) {
	var opening sync.WaitGroup
	defer opening.Wait()
	for range calls {
		opening.Go(func() {
			if _, err := h.log.Append(h.t.Context(), audittest.Intent(audittest.NewID(), `{"amount":1}`)); err != nil {
				h.t.Error(err)
			}
		})
	}
}

func TestBusyCallsPutTheHistoryOffForSecondsAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t)
		i := h.following()
		began, folded := time.Now(), time.Duration(0)
		for n := range 200 {
			h.openAtOnce(40)
			time.Sleep(40 * time.Millisecond)
			synctest.Wait()
			lag, err := i.Behind(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if lag.Indexed > 0 {
				folded = time.Since(began)
				break
			}
			if lag.Records != int64(n+1)*40 {
				t.Fatalf("after %s %d records are said to be missing, want all %d", time.Since(began), lag.Records, (n+1)*40)
			}
		}
		if folded < 4*time.Second || folded > 6*time.Second {
			t.Errorf("the history of busy calls was first folded after %s, want about 5s", folded)
		}
	})
}

// shortLog has only so many records at hand.
type shortLog struct {
	*embedded.Log

	atHand int64
}

func (l shortLog) AtHand() int64 { return l.atHand }

func TestBusyCallsPutTheHistoryOffWhileTheyAreAtHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t)
		const atHand = 1000
		i := h.followingAs(shortLog{h.log, atHand})
		for n := 1; ; n++ {
			h.openAtOnce(40)
			time.Sleep(40 * time.Millisecond)
			synctest.Wait()
			lag, err := i.Behind(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if lag.Indexed > 0 {
				break
			}
			if lag.Records > atHand {
				t.Fatalf("%d records are missing, of which the log has only %d at hand", lag.Records, atHand)
			}
		}
	})
}
