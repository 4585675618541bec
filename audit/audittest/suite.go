package audittest

import (
	"context"
	"testing"

	"github.com/deedbroker/deed/audit"
)

// Engine is a log under test, with what every engine can do beside [audit.Log].
type Engine interface {
	Store
	// Erase removes a payload; afterwards it is audit.ErrErased.
	Erase(ctx context.Context, p audit.Position, name string) error
	// Close releases the log. What was acknowledged stays.
	Close() error
}

// Open opens the log that belongs to place, a directory of the test's own. A
// place that was opened before, and closed, is the same log again; another place
// is another, empty log. The suite closes what it opens.
type Open func(t *testing.T, place string) Engine

// Run is the suite that every [audit.Log] passes. A payload of 65 MiB has to be
// beyond the limit of the logs that it opens.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"order of a call is the order of its appends", testOrder},
		{"positions of a log are contiguous from 0", testPositions},
		{"concurrent appends are all there, each subject in order", testConcurrent},
		{"stored bytes are the event", testStored},
		{"read ends where the log ended when it was called", testReadEnd},
		{"read resumes at every cursor without loss or repetition", testResume},
		{"foreign cursors are refused", testForeignCursor},
		{"reading stops with its consumer and its context", testReadStops},
		{"follow sees everything once, across the end", testFollow},
		{"follow resumes at every cursor", testFollowResume},
		{"follow ends without an error when its context does", testFollowEnds},
		{"many followers", testFollowers},
		{"a record that a consumer changes is unchanged for others", testCopies},
		{"invalid events are refused and nothing is stored", testInvalid},
		{"oversize is refused and nothing is stored", testOversize},
		{"a context that has ended stores nothing", testEndedContext},
		{"contexts that end at any time leave no false acknowledgement", testCancelled},
		{"payloads come back as they were", testPayloads},
		{"an erased payload is gone and its event stands", testErase},
		{"reopening keeps everything", testReopen},
		{"a closed log refuses, and closes again", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := &bench{open: open, place: t.TempDir()}
			b.reopen(t)
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			c.test(t, b)
		})
	}
}

// bench is the log of one test.
type bench struct {
	Engine
	open  Open
	place string
}

func (b *bench) reopen(t *testing.T) {
	t.Helper()
	if b.Engine != nil {
		if err := b.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	b.Engine = b.open(t, b.place)
}

func (b *bench) append(t *testing.T, e audit.Event) audit.Position {
	t.Helper()
	p, err := b.Append(t.Context(), e)
	if err != nil {
		t.Fatalf("append %s: %v", e.Type, err)
	}
	return p
}

// call appends an intent and its result, and returns where the two stand.
func (b *bench) call(t *testing.T) [2]audit.Position {
	t.Helper()
	id := NewID()
	intent := b.append(t, Intent(id, `{"amount":1}`))
	return [2]audit.Position{intent, b.append(t, Result(id, `{"ok":true}`))}
}

func (b *bench) all(t *testing.T) []audit.Record {
	t.Helper()
	records, err := All(t.Context(), b)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return records
}
