package pulsar_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// ledger is what writers were told of their events.
type ledger struct {
	mu     sync.Mutex
	acked  map[string]audit.Position // guarded by mu: by event id, as are the next two
	may    map[string]bool           // be stored or not
	wont   map[string]bool           // be stored
	orders map[string][]string       // guarded by mu: acknowledged events of each subject, in order
}

// write appends events of one subject until stop is closed.
func (w *ledger) write(t *testing.T, tenant *pulsartest.Tenant, l *pulsar.Log, stop <-chan struct{}, count *atomic.Int64) {
	t.Helper()
	subject := audittest.NewID()
	for {
		select {
		case <-stop:
			return
		default:
		}
		e := of(tenant, "a", audittest.Intent(subject, `{"amount":1}`))
		e.Type = audit.CallApproval
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		at, err := l.Append(ctx, e)
		cancel()
		w.mu.Lock()
		switch {
		case err == nil:
			w.acked[e.ID] = at
			w.orders[subject] = append(w.orders[subject], e.ID)
			count.Add(1)
		case errors.Is(err, audit.ErrUncertain):
			w.may[e.ID] = true
		case errors.Is(err, audit.ErrUnavailable):
			w.wont[e.ID] = true
		default:
			t.Errorf("append: %v", err)
		}
		w.mu.Unlock()
		if err != nil {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-stop:
				return
			}
		}
	}
}

// TestWrittenOnce loses acknowledgements, cuts connections and kills Pulsar while
// events are written: what was acknowledged is there once, in order, and where it was
// said to be; no message is missing and none is there that was refused.
func TestWrittenOnce(t *testing.T) {
	t.Parallel()
	gate := pulsartest.NewGate(t)
	p := need.OwnPulsar(t, gate.Settings("gate"))
	gate.Serve(strings.TrimPrefix(p.URL(), "pulsar://"))
	tenant := pulsartest.In(t, gate.URL(), p.Admin(), p.Keys, pulsartest.Layout{Domains: []string{audittest.Domain}, Partitions: 3})
	o := tenant.Options("a", t.TempDir())
	o.Listener = "gate"
	l := open(t, o)

	w := &ledger{acked: map[string]audit.Position{}, may: map[string]bool{}, wont: map[string]bool{}, orders: map[string][]string{}}
	var writers sync.WaitGroup
	var count atomic.Int64
	stop := make(chan struct{})
	for range 8 {
		writers.Go(func() { w.write(t, tenant, l, stop, &count) })
	}
	progress := func(what string) {
		from, began := count.Load(), time.Now()
		defer func() { t.Logf("%s: %v", what, time.Since(began)) }()
		eventually(t, what, func() error {
			if count.Load() < from+20 {
				return errors.New("nothing is acknowledged")
			}
			return nil
		})
	}
	progress("at first")
	for range 5 {
		gate.Mute()
		pause(t, 30*time.Millisecond)
		gate.Shut()
		gate.Open()
		progress("after acknowledgements were lost")
		gate.Shut()
		pause(t, 20*time.Millisecond)
		gate.Open()
		progress("after connections were cut")
	}
	if err := p.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	progress("after Pulsar was killed")
	close(stop)
	writers.Wait()
	w.check(t, all(t, l))

	// The replica comes back under its name, knowing nothing.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.Dir = t.TempDir()
	again := open(t, o)
	at := appendAll(t, again, of(tenant, "a", audittest.Denied(audittest.NewID())))
	records := all(t, again)
	w.check(t, records)
	if last := find(records, at[0]); last == nil {
		t.Errorf("nothing stands at %s", at[0])
	}
	t.Logf("%d acknowledged, %d uncertain, %d refused", len(w.acked), len(w.may), len(w.wont))
}

func find(records []audit.Record, at audit.Position) *audit.Record {
	for i := range records {
		if records[i].Position == at {
			return &records[i]
		}
	}
	return nil
}

func (w *ledger) check(t *testing.T, records []audit.Record) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	stands := map[string]audit.Position{}
	order := map[string][]string{}
	for _, r := range records {
		e, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		if before, twice := stands[e.ID]; twice {
			t.Errorf("event %s stands at %s and at %s", e.ID, before, r.Position)
		}
		stands[e.ID] = r.Position
		if w.wont[e.ID] {
			t.Errorf("event %s was refused, and stands at %s", e.ID, r.Position)
		}
		if _, acked := w.acked[e.ID]; acked {
			order[e.Subject] = append(order[e.Subject], e.ID)
		}
	}
	for id, at := range w.acked {
		if stands[id] != at {
			t.Errorf("event %s was acknowledged at %s, and stands at %s", id, at, stands[id])
		}
	}
	for subject, want := range w.orders {
		for i, id := range want {
			if i >= len(order[subject]) || order[subject][i] != id {
				t.Errorf("events of %s are not in the order in which they were acknowledged", subject)
				break
			}
		}
	}
}
