package export

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// Entry is one call as it is exported.
type Entry struct {
	Tenant string
	Call   calls.Call
	At     audit.Position // of the record that ended it, or of its latest if it is open
	Leaf   tlog.Hash      // of that record
}

// Record makes the entry of a call whose latest event this is.
func (e *Entry) record(r audit.Record, tenant string) {
	e.Tenant, e.At, e.Leaf = tenant, r.Position, tlog.RecordHash(r.Stored)
}

// Format writes entries in one form.
type Format interface {
	Call(e *Entry) error
	// Close writes what belongs to the end. It does not close what is written to.
	Close() error
}

// Reader is a history that can be read from its beginning.
type Reader interface {
	Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error]
}

// Folder makes entries of records as they come. Its memory grows with open calls.
type Folder struct {
	open map[string]*Entry
}

// NewFolder returns a folder that has seen nothing.
func NewFolder() *Folder { return &Folder{open: map[string]*Entry{}} }

// Fold takes the next record. It returns an entry if the record ended a call. What
// no honest broker wrote ends nothing.
func (f *Folder) Fold(r audit.Record) *Entry {
	if !strings.HasSuffix(r.Position.Log, "/"+audit.TopicCalls) {
		return nil
	}
	event, err := r.Event()
	if err != nil {
		return nil
	}
	e := f.open[event.Subject]
	if e == nil {
		e = &Entry{}
	}
	counted, err := e.Call.Apply(event, r.Position)
	if err != nil || !counted {
		return nil
	}
	e.record(r, event.Tenant)
	if e.Call.State == calls.Closed {
		delete(f.open, event.Subject)
		return e
	}
	f.open[event.Subject] = e
	return nil
}

// Open are the calls that have not ended, in the order of their intents.
func (f *Folder) Open() []*Entry {
	var open []*Entry
	for _, e := range f.open {
		open = append(open, e)
	}
	slices.SortFunc(open, func(a, b *Entry) int { return a.Call.Opening.Time.Compare(b.Call.Opening.Time) })
	return open
}

// Options say which calls are exported.
type Options struct {
	Log          string    // only this log's
	Since, Until time.Time // when they were opened; zero: whenever
}

func (o Options) fits(e *Entry) bool {
	opened := e.Call.Opening.Time
	return (o.Log == "" || e.At.Log == o.Log) && !opened.Before(o.Since) && (o.Until.IsZero() || opened.Before(o.Until))
}

// Calls writes the calls of a history: those that ended in the order of their end,
// then those that are open.
func Calls(ctx context.Context, from Reader, o Options, to Format) error {
	f := NewFolder()
	for r, err := range from.Read(ctx, "") {
		if err != nil {
			return err
		}
		if e := f.Fold(r); e != nil && o.fits(e) {
			if err := to.Call(e); err != nil {
				return err
			}
		}
	}
	for _, e := range f.Open() {
		if o.fits(e) {
			if err := to.Call(e); err != nil {
				return err
			}
		}
	}
	return to.Close()
}
