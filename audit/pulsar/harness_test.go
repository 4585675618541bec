package pulsar_test

import (
	"errors"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
)

const patience = 3 * time.Minute // of tests, on a busy machine

func open(t *testing.T, o pulsar.Options) *pulsar.Log {
	t.Helper()
	l, err := pulsar.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// of makes an event say that it is this tenant's and replica's.
func of(tenant *pulsartest.Tenant, replica string, e audit.Event) audit.Event {
	e.Tenant, e.Source = tenant.Name, "deed://"+tenant.Name+"/"+replica
	return e
}

func appendAll(t *testing.T, l *pulsar.Log, events ...audit.Event) (at []audit.Position) {
	t.Helper()
	for _, e := range events {
		p, err := l.Append(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, p)
	}
	return at
}

// all reads the log and fails the test at every mismatch.
func all(t *testing.T, l *pulsar.Log) []audit.Record {
	t.Helper()
	records, err := audittest.All(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		for _, m := range r.Mismatches {
			t.Errorf("%s: %s", r.Position, m)
		}
	}
	return records
}

// eventually asks until an error is what is wanted.
func eventually(t *testing.T, what string, ask func() error, want ...error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		is := err == nil && len(want) == 0 || err != nil && len(want) > 0
		for _, w := range want {
			is = is && errors.Is(err, w)
		}
		if is {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, want %v", what, err, want)
		}
		pause(t, 50*time.Millisecond)
	}
}

func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("the test is over")
	}
}
