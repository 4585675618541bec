package audittest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
)

func testReadEnd(t *testing.T, b *bench) {
	t.Helper()
	b.call(t)
	reading := b.Read(t.Context(), "")
	b.call(t)
	records, err := Take(reading, -1)
	if err != nil || len(records) != 2 {
		t.Errorf("read %d records (%v), the log had 2 when Read was called", len(records), err)
	}
}

func testResume(t *testing.T, b *bench) {
	t.Helper()
	for range 20 {
		b.call(t)
	}
	all := b.all(t)
	if len(all) != 40 {
		t.Fatalf("read %d records, 40 were appended", len(all))
	}
	for i, r := range all {
		rest, err := Take(b.Read(t.Context(), r.Next), -1)
		if err != nil {
			t.Fatalf("read after record %d: %v", i, err)
		}
		if diff := cmp.Diff(all[i+1:], rest, cmpEmpty()); diff != "" {
			t.Fatalf("read after record %d: %s", i, diff)
		}
	}
}

func testForeignCursor(t *testing.T, b *bench) {
	t.Helper()
	b.call(t)
	for _, c := range []audit.Cursor{"?", "not a cursor", "e", "0", "-1", "\x00"} {
		if got, err := Take(b.Read(t.Context(), c), -1); err == nil {
			t.Errorf("read from %q gave %d records and no error", c, len(got))
		}
		if got, err := Take(b.Follow(t.Context(), c), 1); err == nil {
			t.Errorf("follow from %q gave %d records and no error", c, len(got))
		}
	}
}

func testReadStops(t *testing.T, b *bench) {
	t.Helper()
	b.call(t)
	if got, err := Take(b.Read(t.Context(), ""), 1); err != nil || len(got) != 1 {
		t.Errorf("a consumer of one record got %d (%v)", len(got), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Take(b.Read(ctx, ""), -1); !errors.Is(err, context.Canceled) {
		t.Errorf("read with an ended context: %v, want context.Canceled", err)
	}
}

func testFollow(t *testing.T, b *bench) {
	t.Helper()
	b.call(t)
	var followed []audit.Record
	var err error
	var wg sync.WaitGroup
	half := make(chan struct{})
	wg.Go(func() {
		for r, e := range b.Follow(t.Context(), "") {
			if err = e; e != nil {
				return
			}
			if followed = append(followed, r); len(followed) == 2 {
				close(half)
			}
			if len(followed) == 102 {
				return
			}
		}
	})
	<-half
	for range 50 {
		b.call(t)
	}
	wg.Wait()
	if err != nil {
		t.Fatalf("follow: %v", err)
	}
	if diff := cmp.Diff(b.all(t), followed); diff != "" {
		t.Errorf("what was followed is not what is read: %s", diff)
	}
}

func testFollowResume(t *testing.T, b *bench) {
	t.Helper()
	for range 5 {
		b.call(t)
	}
	all := b.all(t)
	for i, r := range all[:len(all)-1] {
		rest, err := Take(b.Follow(t.Context(), r.Next), len(all)-i-1)
		if err != nil {
			t.Fatalf("follow after record %d: %v", i, err)
		}
		if diff := cmp.Diff(all[i+1:], rest); diff != "" {
			t.Fatalf("follow after record %d: %s", i, diff)
		}
	}
}

func testFollowEnds(t *testing.T, b *bench) {
	t.Helper()
	b.call(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range b.Follow(ctx, "") {
		if err != nil {
			t.Fatalf("follow: %v", err)
		}
		if n++; n == 2 {
			cancel() // nothing more will come: only the context can end it
		}
	}
	if n != 2 {
		t.Errorf("followed %d records, want 2", n)
	}
}

func testFollowers(t *testing.T, b *bench) {
	t.Helper()
	const followers, calls = 32, 40
	var wg sync.WaitGroup
	got := make([][]audit.Record, followers)
	errs := make([]error, followers)
	for i := range followers {
		wg.Go(func() { got[i], errs[i] = Take(b.Follow(t.Context(), ""), 2*calls) })
	}
	for range calls {
		b.call(t)
	}
	wg.Wait()
	all := b.all(t)
	for i := range followers {
		if errs[i] != nil {
			t.Fatalf("follower %d: %v", i, errs[i])
		}
		if diff := cmp.Diff(all, got[i]); diff != "" {
			t.Fatalf("follower %d: %s", i, diff)
		}
	}
}

func testCopies(t *testing.T, b *bench) {
	t.Helper()
	b.call(t)
	before := b.all(t)
	for _, reading := range []audit.Record{before[0], first(t, b)} {
		clear(reading.Stored)
		if again := first(t, b); bytes.Equal(again.Stored, reading.Stored) {
			t.Fatal("a consumer changed what others read")
		}
	}
}

func first(t *testing.T, b *bench) audit.Record {
	t.Helper()
	r, err := Take(b.Follow(t.Context(), ""), 1)
	if err != nil || len(r) != 1 {
		t.Fatalf("follow: %d records, %v", len(r), err)
	}
	return r[0]
}

func cmpEmpty() cmp.Option {
	return cmp.Transformer("empty", func(r []audit.Record) []audit.Record {
		if len(r) == 0 {
			return nil
		}
		return r
	})
}
