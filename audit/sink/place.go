package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/export"
)

// place is how far a sink has come, in a file that is replaced as a whole. Reading goes
// on at From, where the oldest call began that was open then; what each log has up to Done
// has been sent, and is only folded.
type place struct {
	From audit.Cursor     `json:"from"`
	Done map[string]int64 `json:"done"` // by log, the index of the last record

	path  string
	saved string // as it stands in the file
}

func openPlace(path string) (*place, error) {
	p := &place{Done: map[string]int64{}, path: path}
	text, err := os.ReadFile(path) //nolint:gosec // in the data directory
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if p.Done == nil {
		p.Done = map[string]int64{}
	}
	return p, nil
}

// move makes what was folded the place to go on from.
func (p *place) move(f *fold) error {
	next := place{From: f.from(), Done: maps.Clone(f.seen)}
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if string(text) == p.saved {
		return nil
	}
	if err := replace(p.path, text); err != nil {
		return fmt.Errorf("keep the place in the log: %w", err)
	}
	p.From, p.Done, p.saved = next.From, next.Done, string(text)
	return nil
}

// replace writes a file so that it is whole after a crash. What it said before may then
// stand there again: calls are sent twice, none is left out.
func replace(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".place-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// fold makes entries of records, and knows where reading has to go on.
type fold struct {
	calls  *export.Folder
	done   map[string]int64 // was sent before
	seen   map[string]int64 // by log, the last record that was folded
	next   audit.Cursor     // after it
	began  map[string]begun // by call, of those that are open
	number int64
}

type begun struct {
	before audit.Cursor
	number int64
}

func newFold(p *place) *fold {
	return &fold{calls: export.NewFolder(), done: p.Done, seen: maps.Clone(p.Done), next: p.From, began: map[string]begun{}}
}

// fold returns the call that a record ended, unless it was sent before.
func (f *fold) fold(r audit.Record) *export.Entry {
	before := f.next
	f.next = r.Next
	f.seen[r.Position.Log] = max(f.seen[r.Position.Log], r.Position.Index)
	e := f.calls.Fold(r)
	if head, err := audit.Peek(r.Stored); err == nil && head.Type == audit.CallIntent && e == nil {
		if _, again := f.began[head.Subject]; !again {
			f.number++
			f.began[head.Subject] = begun{before, f.number}
		}
	}
	if e == nil {
		return nil
	}
	delete(f.began, e.Call.ID)
	if last, sent := f.done[r.Position.Log]; sent && r.Position.Index <= last {
		return nil
	}
	return e
}

// from is where the oldest open call began, or what comes next.
func (f *fold) from() audit.Cursor {
	at, oldest := f.next, int64(0)
	for _, b := range f.began {
		if oldest == 0 || b.number < oldest {
			at, oldest = b.before, b.number
		}
	}
	return at
}
