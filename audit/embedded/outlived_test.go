package embedded_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
)

func TestPayloadsThatOutlivedTheirRetentionAreErasedAndNoOthers(t *testing.T) {
	t.Parallel()
	l, err := embedded.Open(t.Context(), t.TempDir()+"/log", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const calls, outlived = 1200, 1100 // more than are erased at once
	at := make([]audit.Position, calls)
	for n := range at {
		e := audittest.Intent(audittest.NewID(), fmt.Sprintf(`{"n":%d}`, n))
		e.Time = start.Add(time.Duration(n) * time.Minute)
		if at[n], err = l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	other := audittest.Intent(audittest.NewID(), `{}`)
	other.Domain, other.Time = "another", start
	elsewhere, err := l.Append(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}

	log, before := at[0].Log, start.Add(outlived*time.Minute)
	from, to, err := l.Outlived(t.Context(), log, 0, before)
	if err != nil || from != 0 || to != outlived {
		t.Fatalf("outlived are %d to %d, %v; want 0 to %d", from, to, err, outlived)
	}
	if err := l.EraseOutlived(t.Context(), log, from, to); err != nil {
		t.Fatal(err)
	}
	for n, p := range append(at, elsewhere) {
		_, err := l.Payload(t.Context(), p, audit.PayloadArguments)
		if want := n < outlived; errors.Is(err, audit.ErrErased) != want || err != nil && !want {
			t.Fatalf("payload %d: %v; want it erased: %t", n, err, want)
		}
	}
	if from, to, err = l.Outlived(t.Context(), log, 0, before); err != nil || from != to {
		t.Errorf("after erasing, outlived are %d to %d, %v; want none", from, to, err)
	}
	if from, to, err = l.Outlived(t.Context(), "no/calls", 0, before); err != nil || from != to {
		t.Errorf("of a log that is not there, outlived are %d to %d, %v; want none", from, to, err)
	}
}
