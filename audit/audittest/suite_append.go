package audittest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
)

func testOrder(t *testing.T, b *bench) {
	t.Helper()
	id := NewID()
	want := []audit.Type{audit.CallIntent, audit.CallApproval, audit.CallApproval, audit.CallReleased, audit.CallResult}
	for _, kind := range want {
		b.append(t, NewEvent(kind, id, struct{}{}))
	}
	var got []audit.Type
	for _, r := range b.all(t) {
		got = append(got, event(t, r).Type)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func testPositions(t *testing.T, b *bench) {
	t.Helper()
	next := map[string]int64{}
	for i := range 30 {
		e := Denied(NewID())
		e.Domain = []string{"payments", "source", "deed"}[i%3]
		want := audit.Position{Log: e.LogName(), Index: next[e.LogName()]}
		next[e.LogName()]++
		if got := b.append(t, e); got != want {
			t.Fatalf("append returned %s, want %s", got, want)
		}
	}
	checkPositions(t, b.all(t), 30)
}

// checkPositions checks that each log's records come in order and without a gap.
func checkPositions(t *testing.T, records []audit.Record, want int) {
	t.Helper()
	if len(records) != want {
		t.Errorf("read %d records, want %d", len(records), want)
	}
	next := map[string]int64{}
	for _, r := range records {
		if r.Position.Index != next[r.Position.Log] {
			t.Fatalf("read %s, want index %d", r.Position, next[r.Position.Log])
		}
		next[r.Position.Log]++
		event(t, r) // and that it claims this log
	}
}

func event(t *testing.T, r audit.Record) audit.Event {
	t.Helper()
	e, err := r.Event()
	if err != nil {
		t.Fatalf("record %s: %v", r.Position, err)
	}
	return e
}

func testConcurrent(t *testing.T, b *bench) {
	t.Helper()
	const writers, each = 32, 25
	ids := make([][]string, writers)
	at := make([][]audit.Position, writers)
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		subject := NewID()
		wg.Go(func() {
			for range each {
				e := NewEvent(audit.CallApproval, subject, struct{}{})
				p, err := b.Append(t.Context(), e)
				if err != nil {
					errs[w] = err
					return
				}
				ids[w], at[w] = append(ids[w], e.ID), append(at[w], p)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	records := b.all(t)
	checkPositions(t, records, writers*each)
	stands := map[audit.Position]string{}
	for _, r := range records {
		stands[r.Position] = event(t, r).ID
	}
	for w := range writers {
		for i, p := range at[w] {
			if stands[p] != ids[w][i] {
				t.Fatalf("at %s stands %s, appended was %s", p, stands[p], ids[w][i])
			}
			if i > 0 && p.Index <= at[w][i-1].Index {
				t.Fatalf("a subject's event at %s came after the one at %s", p, at[w][i-1])
			}
		}
	}
}

func testStored(t *testing.T, b *bench) {
	t.Helper()
	want := Intent(NewID(), `{"amount":1}`)
	want.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	expires := want.Time.Add(time.Hour)
	want.TokenExpires = &expires
	want.Data = json.RawMessage(`{"text":"<é&\u2028>","n":12345678901234567890.5}`)
	b.append(t, want)
	got := event(t, b.all(t)[0])
	want.Payloads = nil
	var a, z any
	if err := errors.Join(json.Unmarshal(want.Data, &a), json.Unmarshal(got.Data, &z)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, z); diff != "" {
		t.Errorf("data: %s", diff)
	}
	want.Data, got.Data = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func testInvalid(t *testing.T, b *bench) {
	t.Helper()
	for name, change := range map[string]func(*audit.Event){
		"no id":             func(e *audit.Event) { e.ID = "" },
		"other specversion": func(e *audit.Event) { e.SpecVersion = "0.3" },
		"no subject":        func(e *audit.Event) { e.Subject = "" },
		"no tenant":         func(e *audit.Event) { e.Tenant = "" },
		"no domain":         func(e *audit.Event) { e.Domain = "" },
		"local time":        func(e *audit.Event) { e.Time = e.Time.In(time.FixedZone("x", 3600)) },
		"no time":           func(e *audit.Event) { e.Time = time.Time{} },
		"no data":           func(e *audit.Event) { e.Data = nil },
		"data not JSON":     func(e *audit.Event) { e.Data = json.RawMessage(`{"a":`) },
		"two data":          func(e *audit.Event) { e.Data = json.RawMessage(`{},"type":"x"`) },
		"data not UTF-8":    func(e *audit.Event) { e.Data = json.RawMessage("\"\xff\"") },
		"subject not UTF-8": func(e *audit.Event) { e.Subject = "\xff" },
		"slash in domain":   func(e *audit.Event) { e.Domain = "payments/x" },
		"newline in topic":  func(e *audit.Event) { e.Topic = "calls\n" },
		"unnamed payload":   func(e *audit.Event) { e.Payloads[0].Name = "" },
		"unsalted payload":  func(e *audit.Event) { e.Payloads[0].Salt = nil },
		"payload twice":     func(e *audit.Event) { e.Payloads = append(e.Payloads, e.Payloads[0]) },
	} {
		e := Intent(NewID(), `{}`)
		change(&e)
		if p, err := b.Append(t.Context(), e); err == nil {
			t.Errorf("%s: stored at %s", name, p)
		} else if errors.Is(err, audit.ErrUncertain) {
			t.Errorf("%s: %v, but it is certain that nothing was stored", name, err)
		}
	}
	checkEmpty(t, b)
}

func checkEmpty(t *testing.T, b *bench) {
	t.Helper()
	if got := b.all(t); len(got) != 0 {
		t.Errorf("%d records were stored", len(got))
	}
	if p := b.append(t, Denied(NewID())); p.Index != 0 {
		t.Errorf("the next event stands at %s, not at the beginning", p)
	}
}

func testOversize(t *testing.T, b *bench) {
	t.Helper()
	big := Intent(NewID(), `{}`)
	big.Data = json.RawMessage(`"` + strings.Repeat("x", audit.MaxEventBytes) + `"`)
	fat := Intent(NewID(), `{}`)
	fat.Payloads = []audit.Payload{audit.NewPayload(audit.PayloadArguments, make([]byte, 65<<20))}
	for name, e := range map[string]audit.Event{"event": big, "payload": fat} {
		if _, err := b.Append(t.Context(), e); !errors.Is(err, audit.ErrTooLarge) {
			t.Errorf("%s: %v, want ErrTooLarge", name, err)
		}
	}
	checkEmpty(t, b)
}

func testEndedContext(t *testing.T, b *bench) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Append(ctx, Denied(NewID()))
	if !errors.Is(err, audit.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("append with an ended context: %v, want ErrUnavailable and context.Canceled", err)
	}
	checkEmpty(t, b)
}

// testCancelled ends contexts while appends are under way: whatever the error
// promises has to be so.
func testCancelled(t *testing.T, b *bench) {
	t.Helper()
	const n = 200
	type attempt struct {
		id  string
		at  audit.Position
		err error
	}
	attempts := make([]attempt, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%40)*50*time.Microsecond)
			defer cancel()
			e := Denied(NewID())
			p, err := b.Append(ctx, e)
			attempts[i] = attempt{e.ID, p, err}
		})
	}
	wg.Wait()
	b.append(t, Denied(NewID())) // whatever was under way stands before it
	stored := map[string]audit.Position{}
	for _, r := range b.all(t) {
		stored[event(t, r).ID] = r.Position
	}
	for _, a := range attempts {
		at, there := stored[a.id]
		switch {
		case a.err == nil && (!there || at != a.at):
			t.Errorf("acknowledged at %s, but stands at %s (%t)", a.at, at, there)
		case errors.Is(a.err, audit.ErrUnavailable) && there:
			t.Errorf("%v, but it stands at %s", a.err, at)
		case a.err != nil && !errors.Is(a.err, audit.ErrUnavailable) && !errors.Is(a.err, audit.ErrUncertain):
			t.Errorf("%v, want ErrUnavailable or ErrUncertain", a.err)
		}
	}
}

func testPayloads(t *testing.T, b *bench) {
	t.Helper()
	want := []audit.Payload{
		audit.NewPayload(audit.PayloadArguments, []byte(`{"amount":1}`)),
		{Name: "empty", MediaType: "text/plain", Salt: bytes.Repeat([]byte{7}, audit.SaltBytes), Body: []byte{}},
		{Name: audit.PayloadOutput, MediaType: "application/octet-stream", Salt: make([]byte, audit.SaltBytes), Body: bytes.Repeat([]byte{0, 1, 0xff}, 100_000)},
	}
	at := b.append(t, NewEvent(audit.CallIntent, NewID(), struct{}{}, want...))
	bare := b.append(t, Denied(NewID()))
	for _, p := range want {
		got, err := b.Payload(t.Context(), at, p.Name)
		if err != nil {
			t.Fatalf("payload %s: %v", p.Name, err)
		}
		if diff := cmp.Diff(p.Commitment(), got.Commitment()); diff != "" || !p.Commitment().Matches(got) || got.Name != p.Name {
			t.Errorf("payload %s does not match its commitment: %s", p.Name, diff)
		}
	}
	for p, name := range map[audit.Position]string{
		at: "other", bare: audit.PayloadArguments,
		{Log: at.Log, Index: 99}:         audit.PayloadArguments,
		{Log: "no/log", Index: 0}:        audit.PayloadArguments,
		{Log: at.Log, Index: -1}:         audit.PayloadArguments,
		{Log: at.Log + "x", Index: 0}:    audit.PayloadArguments,
		{Log: "", Index: at.Index}:       audit.PayloadArguments,
		{Log: "control", Index: 1 << 62}: audit.PayloadArguments,
	} {
		if _, err := b.Payload(t.Context(), p, name); !errors.Is(err, audit.ErrNotFound) {
			t.Errorf("payload %s of %s: %v, want ErrNotFound", name, p, err)
		}
	}
}

func testErase(t *testing.T, b *bench) {
	t.Helper()
	payloads := []audit.Payload{audit.NewPayload("a", []byte("first")), audit.NewPayload("b", []byte("second"))}
	at := b.append(t, NewEvent(audit.CallIntent, NewID(), struct{}{}, payloads...))
	before := b.all(t)
	if err := b.Erase(t.Context(), at, "c"); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("erase of a payload that never was: %v, want ErrNotFound", err)
	}
	for range 2 { // twice is harmless
		if err := b.Erase(t.Context(), at, "a"); err != nil {
			t.Fatalf("erase: %v", err)
		}
	}
	check := func() {
		t.Helper()
		if _, err := b.Payload(t.Context(), at, "a"); !errors.Is(err, audit.ErrErased) {
			t.Errorf("erased payload: %v, want ErrErased", err)
		}
		if got, err := b.Payload(t.Context(), at, "b"); err != nil || string(got.Body) != "second" {
			t.Errorf("the other payload: %q, %v", got.Body, err)
		}
		if diff := cmp.Diff(before, b.all(t)); diff != "" {
			t.Errorf("records changed: %s", diff)
		}
	}
	check()
	b.reopen(t)
	check()
}

func testReopen(t *testing.T, b *bench) {
	t.Helper()
	at := b.call(t)
	for round := range 3 {
		before := b.all(t)
		b.reopen(t)
		if diff := cmp.Diff(before, b.all(t)); diff != "" {
			t.Fatalf("round %d: records changed: %s", round, diff)
		}
		if _, err := b.Payload(t.Context(), at[0], audit.PayloadArguments); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		rest, err := Take(b.Read(t.Context(), before[0].Next), -1)
		if err != nil || len(rest) != len(before)-1 {
			t.Fatalf("round %d: an old cursor gives %d records (%v), want %d", round, len(rest), err, len(before)-1)
		}
		want := audit.Position{Log: at[1].Log, Index: int64(len(before))}
		if got := b.append(t, Denied(NewID())); got != want {
			t.Fatalf("round %d: next event at %s, want %s", round, got, want)
		}
	}
}

func testClosed(t *testing.T, b *bench) {
	t.Helper()
	b.call(t)
	var wg sync.WaitGroup
	var followErr error
	reached := make(chan struct{})
	wg.Go(func() {
		n := 0
		for _, err := range b.Follow(t.Context(), "") {
			if followErr = err; err == nil {
				if n++; n == 2 {
					close(reached)
				}
			}
		}
	})
	<-reached
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	wg.Wait()
	if !errors.Is(followErr, audit.ErrUnavailable) {
		t.Errorf("follow when the log closes: %v, want ErrUnavailable", followErr)
	}
	if _, err := b.Append(t.Context(), Denied(NewID())); !errors.Is(err, audit.ErrUnavailable) {
		t.Errorf("append to a closed log: %v, want ErrUnavailable", err)
	}
	if _, err := All(t.Context(), b); err == nil {
		t.Error("a closed log can be read")
	}
}
