package pack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/verify"
)

// Lines is a history as events that were exported whole, one a line in the order of
// their logs: byte for byte what was stored. Payloads are not in it. It remembers
// where each record stands.
type Lines struct {
	file  *os.File
	first map[string]int64 // index of the first record of a log, where retention has removed some
	at    map[string][]span
	all   []audit.Position
}

type span struct{ from, length int64 }

var _ verify.Source = (*Lines)(nil)

// OpenLines opens such a file. A line that is no event is an error: it cannot be told
// where it belongs.
func OpenLines(ctx context.Context, path string) (*Lines, error) {
	f, err := os.Open(path) //nolint:gosec // the file that the user names
	if err != nil {
		return nil, fmt.Errorf("open events: %w", err)
	}
	l := &Lines{file: f, at: map[string][]span{}, first: map[string]int64{}}
	if err := l.scan(ctx); err != nil {
		return nil, fmt.Errorf("open events: %w", errors.Join(err, f.Close()))
	}
	return l, nil
}

func (l *Lines) scan(ctx context.Context) error {
	in := lines{open: func() (io.ReadCloser, error) { return io.NopCloser(bufio.NewReader(l.file)), nil }, limit: maxRecord}
	from := int64(0)
	for n := int64(0); ; n++ {
		text, err := in.line(ctx, n)
		if errors.Is(err, audit.ErrNotFound) {
			l.place()
			return nil
		}
		if err != nil {
			return err
		}
		e, err := audit.ParseEvent(text)
		if err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
		if removed, err := audit.DataOf[audit.Removal](e); err == nil && e.Type == audit.RecordsRemoved {
			l.first[removed.Log] = max(l.first[removed.Log], removed.To)
		}
		log := e.LogName()
		l.all = append(l.all, audit.Position{Log: log, Index: int64(len(l.at[log]))})
		l.at[log] = append(l.at[log], span{from, int64(len(text))})
		from += int64(len(text)) + 1
	}
}

// place tells where the records stand of a log that begins later.
func (l *Lines) place() {
	for i := range l.all {
		l.all[i].Index += l.first[l.all[i].Log]
	}
}

// Close ends all reading.
func (l *Lines) Close() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close events: %w", err)
	}
	return nil
}

// Sizes is part of [verify.Source].
func (l *Lines) Sizes(context.Context) (map[string]int64, error) {
	sizes := map[string]int64{}
	for log, spans := range l.at {
		sizes[log] = l.first[log] + int64(len(spans))
	}
	return sizes, nil
}

// Read is part of [verify.Source]: in the order of the file.
func (l *Lines) Read(ctx context.Context, _ audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		for _, p := range l.all {
			r, err := l.Record(ctx, p)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Record is part of [verify.Source].
func (l *Lines) Record(_ context.Context, p audit.Position) (audit.Record, error) {
	spans, n := l.at[p.Log], p.Index-l.first[p.Log]
	if n < 0 || n >= int64(len(spans)) {
		return audit.Record{}, fmt.Errorf("read %s: %w", p, audit.ErrNotFound)
	}
	s := spans[n]
	stored := make([]byte, s.length)
	if _, err := l.file.ReadAt(stored, s.from); err != nil {
		return audit.Record{}, fmt.Errorf("read %s: %w", p, err)
	}
	return audit.Record{Position: p, Stored: stored}, nil
}

// Payload is part of [audit.Payloads]: there are none.
func (l *Lines) Payload(_ context.Context, _ audit.Position, _ string) (audit.Payload, error) {
	return audit.Payload{}, verify.ErrWithheld
}
