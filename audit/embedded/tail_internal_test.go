package embedded

import (
	"testing"
	"testing/synctest"
	"time"
)

// Those who follow learn at once of what somebody may wait for, and of the rest with it or a
// moment later.
func TestQuietRecordsWakeNobodyAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		add   func(t *tail)
		after time.Duration
	}{
		{"one that is waited for", func(t *tail) { t.add(entries(1, 1), false) }, 0},
		{"a quiet one", func(t *tail) { t.add(entries(1, 1), true) }, quietTime},
		{"more of them", func(t *tail) {
			t.add(entries(1, 1), true)
			time.Sleep(quietTime / 2)
			t.add(entries(2, 1), true)
		}, quietTime},
		{"one among quiet ones", func(t *tail) {
			t.add(entries(1, 1), true)
			time.Sleep(quietTime / 2)
			t.add(entries(2, 1), false)
		}, quietTime / 2},
		{"as many as one reads at once", func(t *tail) { t.add(entries(1, batchRecords), true) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tail, stop := newTail(0), make(chan struct{})
				go tail.run(stop)
				bell, start := tail.wait(), time.Now()
				c.add(tail)
				<-bell
				if got := time.Since(start); got != c.after {
					t.Errorf("the bell rang after %v, want %v", got, c.after)
				}
				close(stop)
			})
		})
	}
}

func entries(first int64, n int) []entry {
	var out []entry
	for i := range n {
		out = append(out, entry{seq: first + int64(i), body: []byte("{}")})
	}
	return out
}
