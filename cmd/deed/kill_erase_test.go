package main

import (
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker/httpapi"
)

// TestKilledBetweenErasureAndErasing kills the broker once the event says that the arguments
// and results of many calls are erased, whether or not that is done by then. After the
// restart nothing of them is there.
func TestKilledBetweenErasureAndErasing(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	b := h.demo(t)
	const calls = 60
	for range calls {
		if _, err := b.agent.Call(t.Context(), "payments.accounts", nil, callOptions()); err != nil {
			t.Fatal(err)
		}
	}
	log, err := logDir(h.data())
	if err != nil {
		t.Fatal(err)
	}
	file, err := embedded.OpenReadOnly(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // read only
	erased := make(chan struct{})
	go func() {
		defer close(erased)
		_, _ = b.bob.Erase(t.Context(), httpapi.NewErasure{Scope: httpapi.Scope{Principal: "alice"}, Reason: "ticket 4711"}) // the broker may die before it answers
	}()
	awaitControl(t, file, audit.PayloadsErased, 1)
	b.kill(t)
	<-erased
	report, err := verify.Verify(t.Context(), file, verify.Options{})
	if err != nil || !report.OK() {
		t.Fatalf("as the crash left it: %v, %v", report, err)
	}
	t.Logf("killed with %d payloads erased and %d still there", report.Erased, report.Unerased)

	b.again(t)
	patient, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if report, err = verify.Verify(t.Context(), file, verify.Options{}); err != nil || !report.OK() {
			t.Fatalf("after the restart: %v, %v", report, err)
		}
		if report.Unerased == 0 {
			break
		}
		select {
		case <-patient:
			t.Fatalf("%d payloads are still there", report.Unerased)
		case <-tick.C:
		}
	}
	if report.Erased < 2*calls {
		t.Errorf("%d payloads are erased, want %d at least", report.Erased, 2*calls)
	}
}

// awaitControl waits until the control log has so many events of a type.
func awaitControl(t *testing.T, file *embedded.Reader, what audit.Type, n int) {
	t.Helper()
	patient, tick := time.After(patience), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	p := audit.Position{Log: audit.OwnDomain + "/" + audit.TopicControl}
	for n > 0 {
		r, err := file.Record(t.Context(), p)
		if err == nil {
			if head, err := audit.Peek(r.Stored); err == nil && head.Type == what {
				n--
			}
			p.Index++
			continue
		}
		select {
		case <-patient:
			t.Fatalf("%d of %s are missing: %v", n, what, err)
		case <-tick.C:
		}
	}
}
