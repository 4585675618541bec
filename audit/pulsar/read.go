package pulsar

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/deedbroker/deed/audit"
)

// Read is [audit.Log.Read]. The records of all logs come in the order in which Pulsar
// took them, each log's in that of their index. Records that retention has removed are
// passed over.
func (l *Log) Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	ends, err := l.ends(ctx)
	return func(yield func(audit.Record, error) bool) {
		if err == nil {
			err = l.read(ctx, from, ends, yield)
		}
		if err != nil {
			yield(audit.Record{}, fmt.Errorf("read log: %w", err))
		}
	}
}

// ends finds the last message of every log.
func (l *Log) ends(ctx context.Context) (map[string]messageID, error) {
	var mu sync.Mutex // guards ends
	ends := map[string]messageID{}
	if l.isClosed() {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err := l.each(ctx, func(ctx context.Context, p *partition) error {
		id, some, err := p.end(ctx)
		if err == nil && some {
			mu.Lock()
			ends[p.place.log] = id
			mu.Unlock()
		}
		return err
	})
	return ends, err
}

// read yields what stands after from, up to and with the ends.
func (l *Log) read(ctx context.Context, from audit.Cursor, ends map[string]messageID, yield func(audit.Record, error) bool) error {
	at, err := parseCursor(from)
	if err != nil {
		return err
	}
	_, err = l.merge(ctx, at, ends, func(r audit.Record) bool { return yield(r, nil) })
	return err
}

// merge yields what stands after the marks, up to and with the ends, and moves the
// marks. It reports whether the consumer wants more.
func (l *Log) merge(ctx context.Context, at marks, ends map[string]messageID, yield func(audit.Record) bool) (more bool, err error) {
	streams, err := l.openStreams(ctx, at, ends)
	defer func() {
		for _, s := range streams {
			s.feed.close()
		}
	}()
	if err != nil {
		return false, err
	}
	for {
		var first *stream
		for _, s := range streams {
			if err := s.advance(ctx); err != nil {
				return false, err
			}
			if s.head != nil && (first == nil || s.head.at.Before(first.head.at)) {
				first = s
			}
		}
		if first == nil {
			return true, nil
		}
		log := first.partition.place.log
		at[log] = mark{id: first.head.id, index: first.head.index}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if !yield(first.head.record(log, at.cursor())) {
			return false, nil
		}
		first.head = nil
	}
}

// stream reads one partition up to an end.
type stream struct {
	partition *partition
	feed      *feed
	check     *checker
	after     mark      // the last message that was read
	end       messageID // the last one to read
	done      bool
	doubted   bool   // another reader is asked for what seems to be missing
	head      *entry // the next record
}

func (l *Log) openStreams(ctx context.Context, at marks, ends map[string]messageID) ([]*stream, error) {
	var streams []*stream
	for _, p := range l.logs {
		end, some := ends[p.place.log]
		last, started := at[p.place.log]
		if !some || started && !last.id.before(end) {
			continue
		}
		s := &stream{partition: p, end: end, after: mark{messageID{-1, -1}, -1}}
		if started {
			s.after = last
		}
		s.check = newChecker(p.place, p.partitions, s.after.index)
		streams = append(streams, s)
	}
	g, open := errgroup.WithContext(ctx)
	for _, s := range streams {
		g.Go(func() (err error) {
			last, started := at[s.partition.place.log]
			s.feed, err = l.newFeed(open, readerOptions(s.partition.place, last, started))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		for _, s := range streams {
			if s.feed != nil {
				s.feed.close()
			}
		}
		return nil, err
	}
	return streams, nil
}

// advance reads the next record, unless there is one already or the end is reached.
// Records that are not there were removed by retention, if another reader misses them too:
// one alone may have lost them with its connection.
func (s *stream) advance(ctx context.Context) error {
	for s.head == nil && !s.done {
		m, some, err := s.feed.next(ctx)
		switch {
		case err != nil:
			return err
		case !s.doubted && (!some || m.index > max(s.after.index+1, s.partition.tree.first())):
			if err := s.doubt(ctx, m, some); err != nil {
				return err
			}
		case !some:
			s.done = true
		default:
			s.take(m)
		}
	}
	return nil
}

// doubt begins again, with another reader, after what was read last.
func (s *stream) doubt(ctx context.Context, m received, some bool) error {
	s.doubted = true
	next := "none"
	if some {
		next = m.id.String()
	}
	s.partition.log.options.Logger.LogAttrs(ctx, slog.LevelWarn, "records seem to be missing: another reader is asked",
		slog.String("log", s.partition.place.log), slog.Int64("after", s.after.index), slog.String("next", next), slog.String("end", s.end.String()))
	return s.feed.again(ctx, s.after.id)
}

// take makes a message the head, unless it was read before or is beyond the end.
func (s *stream) take(m received) {
	if s.end.before(m.id) {
		s.done = true
		return
	}
	s.done = !m.batch && m.id == s.end
	if m.index <= s.after.index {
		return
	}
	e, err := audit.PeekEvent(m.Payload())
	s.head = m.entry(s.check.check(m, e, err))
	s.after, s.doubted = mark{m.id, m.index}, false
	if s.head.payloads && err == nil {
		s.partition.again.add(m.index, s.partition.noteOf(s.head, e))
	}
}
