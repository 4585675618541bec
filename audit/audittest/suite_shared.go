package audittest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Member is a replica's session of a shared log under test.
type Member interface {
	Store
	audit.Fencer
	Close() error
}

// Sharing is a log under test that several replicas write.
type Sharing interface {
	// Join opens the log under a replica's name.
	Join(ctx context.Context, name string) (Member, error)
	// Lose takes a session's connection away for long enough that it counts as dead,
	// as a kill or a long pause of its process does. Resume, which may be called once,
	// lets it go on: it has noticed nothing.
	Lose(t *testing.T, m Member) (resume func())
	// Source is the Event.Source of a replica.
	Source(name string) string
}

// RunShared is the suite that every [audit.Fencer] passes; open gives a fresh log.
func RunShared(t *testing.T, open func(t *testing.T) Sharing) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, *meeting)
	}{
		{"replicas write one history", testOneHistory},
		{"a name has one session", testOneSession},
		{"the living are not fenced", testAlive},
		{"the dead are fenced by one at a time", testOneFence},
		{"what the dead wrote is read before they are closed", testReadBefore},
		{"who wakes up finds itself fenced", testAwoken},
		{"who wakes up under a name that was opened again finds itself fenced", testReopenedName},
		{"a fenced holder has no fence", testLostFence},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, &meeting{Sharing: open(t)})
		})
	}
}

// meeting is the shared log of one test.
type meeting struct{ Sharing }

// within bounds every wait for a log that does what it should.
const within = time.Minute

func (m *meeting) join(t *testing.T, name string) Member {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	s, err := m.Join(ctx, name)
	if err != nil {
		t.Fatalf("join as %s: %v", name, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func (m *meeting) by(name string, e audit.Event) audit.Event {
	e.Source = m.Source(name)
	return e
}

func put(t *testing.T, to interface {
	Append(context.Context, audit.Event) (audit.Position, error)
}, e audit.Event,
) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if _, err := to.Append(ctx, e); err != nil {
		t.Fatalf("append %s: %v", e.Type, err)
	}
}

// fence takes the place of the replica a, as soon as the log has noticed that it is gone.
func (m *meeting) fence(t *testing.T, by Member) audit.Fence {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	f, err := by.Fence(ctx, m.Source("a"))
	for errors.Is(err, audit.ErrAlive) && ctx.Err() == nil {
		f, err = by.Fence(ctx, m.Source("a"))
	}
	if err != nil {
		t.Fatalf("fence a: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func refused(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got %v, want %v", what, err, want)
	}
}

// typesOf are the types of a call's events, as one session reads them.
func typesOf(t *testing.T, m Member, id string) []audit.Type {
	t.Helper()
	records, err := All(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	var types []audit.Type
	for _, r := range records {
		if e := event(t, r); e.Subject == id {
			types = append(types, e.Type)
		}
	}
	return types
}

func wantStory(t *testing.T, m Member, id string, want ...audit.Type) {
	t.Helper()
	got := typesOf(t, m, id)
	if len(got) != len(want) {
		t.Fatalf("the call has %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("the call has %v, want %v", got, want)
		}
	}
}

func unknown(id string) audit.Event {
	return NewEvent(audit.CallUnknown, id, audit.Outcome{Code: audit.CodeCrash})
}

func testOneHistory(t *testing.T, m *meeting) {
	t.Helper()
	a, b, id := m.join(t, "a"), m.join(t, "b"), NewID()
	put(t, a, m.by("a", Intent(id, `{}`)))
	put(t, b, m.by("b", NewEvent(audit.CallApproval, id, struct{}{})))
	put(t, a, m.by("a", Result(id, `{}`)))
	for _, s := range []Member{a, b} {
		wantStory(t, s, id, audit.CallIntent, audit.CallApproval, audit.CallResult)
	}
}

func testOneSession(t *testing.T, m *meeting) {
	t.Helper()
	a, id := m.join(t, "a"), NewID()
	_, err := m.Join(t.Context(), "a")
	refused(t, "a second session", err, audit.ErrLocked)
	put(t, a, m.by("a", Intent(id, `{}`)))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	again := m.join(t, "a")
	put(t, again, m.by("a", Result(id, `{}`)))
	wantStory(t, again, id, audit.CallIntent, audit.CallResult)
}

func testAlive(t *testing.T, m *meeting) {
	t.Helper()
	a, b, id := m.join(t, "a"), m.join(t, "b"), NewID()
	put(t, a, m.by("a", Intent(id, `{}`)))
	_, err := b.Fence(t.Context(), m.Source("a"))
	refused(t, "fencing the living", err, audit.ErrAlive)
	put(t, a, m.by("a", Result(id, `{}`)))
}

func testOneFence(t *testing.T, m *meeting) {
	t.Helper()
	a, b, c, id := m.join(t, "a"), m.join(t, "b"), m.join(t, "c"), NewID()
	put(t, a, m.by("a", Intent(id, `{}`)))
	m.Lose(t, a)
	f := m.fence(t, b)
	_, err := c.Fence(t.Context(), m.Source("a"))
	refused(t, "a second fence", err, audit.ErrAlive)
	_, err = m.Join(t.Context(), "a")
	refused(t, "opening the log under a fenced name", err, audit.ErrLocked)
	put(t, f, m.by("b", unknown(id)))
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.fence(t, c).Close(); err != nil { // it is free again
		t.Fatal(err)
	}
	m.join(t, "a")
	wantStory(t, c, id, audit.CallIntent, audit.CallUnknown)
}

func testReadBefore(t *testing.T, m *meeting) {
	t.Helper()
	a, b := m.join(t, "a"), m.join(t, "b")
	var ids []string
	for range 20 {
		id := NewID()
		put(t, a, m.by("a", Intent(id, `{}`)))
		ids = append(ids, id)
	}
	m.Lose(t, a)
	m.fence(t, b)
	for _, id := range ids {
		wantStory(t, b, id, audit.CallIntent)
	}
}

func testAwoken(t *testing.T, m *meeting) {
	t.Helper()
	a, b, id, other := m.join(t, "a"), m.join(t, "b"), NewID(), NewID()
	put(t, a, m.by("a", Intent(id, `{}`)))
	put(t, a, m.by("a", Intent(other, `{}`)))
	resume := m.Lose(t, a)
	f := m.fence(t, b)
	put(t, f, m.by("b", unknown(id)))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	resume()
	for range 3 { // it keeps trying
		ctx, cancel := context.WithTimeout(t.Context(), within)
		_, err := a.Append(ctx, m.by("a", Result(id, `{}`)))
		cancel()
		refused(t, "the awoken one's result", err, audit.ErrFenced)
	}
	wantStory(t, b, id, audit.CallIntent, audit.CallUnknown)
}

func testReopenedName(t *testing.T, m *meeting) {
	t.Helper()
	a, id := m.join(t, "a"), NewID()
	put(t, a, m.by("a", Intent(id, `{}`)))
	resume := m.Lose(t, a)
	again := m.join(t, "a")
	put(t, again, m.by("a", unknown(id)))
	resume()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	_, err := a.Append(ctx, m.by("a", Result(id, `{}`)))
	if err == nil {
		t.Fatal("an older session wrote")
	}
	wantStory(t, again, id, audit.CallIntent, audit.CallUnknown)
}

func testLostFence(t *testing.T, m *meeting) {
	t.Helper()
	a, b, c, id := m.join(t, "a"), m.join(t, "b"), m.join(t, "c"), NewID()
	put(t, a, m.by("a", Intent(id, `{}`)))
	m.Lose(t, a)
	f := m.fence(t, b)
	resume := m.Lose(t, b)
	g := m.fence(t, c)
	put(t, g, m.by("c", unknown(id)))
	resume()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	_, err := f.Append(ctx, m.by("b", unknown(id)))
	refused(t, "the fence of who was lost", err, audit.ErrFenced)
	wantStory(t, c, id, audit.CallIntent, audit.CallUnknown)
}
