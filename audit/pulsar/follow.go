package pulsar

import (
	"context"
	"fmt"
	"iter"

	"github.com/deedbroker/deed/audit"
)

// followBatch is how many records of one log are given before the next log's turn.
const followBatch = 64

// Follow is [audit.Log.Follow]. Old records come as from [Log.Read], new ones from
// memory, a few of each log in turn. It costs nothing while nothing happens, and never
// holds up the writers.
func (l *Log) Follow(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		at, err := parseCursor(from)
		if err == nil {
			err = l.follow(ctx, at, func(r audit.Record) bool { return yield(r, nil) })
		}
		if err != nil && ctx.Err() == nil {
			yield(audit.Record{}, fmt.Errorf("follow log: %w", err))
		}
	}
}

// follow returns nil when the consumer has had enough.
func (l *Log) follow(ctx context.Context, at marks, yield func(audit.Record) bool) error {
	for {
		more := l.bell.wait()
		if l.isClosed() {
			return errClosed
		}
		given, behind, enough, err := l.round(ctx, at, yield)
		if err != nil || enough {
			return err
		}
		if behind {
			if goOn, err := l.overtake(ctx, at, yield); err != nil || !goOn {
				return err
			}
			continue
		}
		if given {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// round gives a few records of each log out of memory. Behind says that there are
// older ones that are not there any more.
func (l *Log) round(ctx context.Context, at marks, yield func(audit.Record) bool) (given, behind, enough bool, err error) {
	var batch []*entry
	for _, p := range l.logs {
		if err := p.failure(); err != nil {
			return false, false, false, err
		}
		after := int64(-1)
		if last, started := at[p.place.log]; started {
			after = last.index
		}
		if after >= p.tree.count()-1 {
			continue
		}
		var covered bool
		if batch, covered = p.ring.after(after, followBatch, batch[:0]); !covered {
			behind = true
			continue
		}
		for _, e := range batch {
			if err := ctx.Err(); err != nil {
				return given, behind, false, err
			}
			at[p.place.log] = mark{id: e.id, index: e.index}
			if !yield(e.record(p.place.log, at.cursor())) {
				return given, behind, true, nil
			}
			given = true
		}
	}
	return given, behind, false, nil
}

// overtake gives what stands before the end of the tails, from Pulsar.
func (l *Log) overtake(ctx context.Context, at marks, yield func(audit.Record) bool) (goOn bool, err error) {
	tails, ends := marks{}, map[string]messageID{}
	for _, p := range l.logs {
		if last, some := p.tree.end(); some {
			tails[p.place.log], ends[p.place.log] = last, last.id
		}
	}
	if goOn, err = l.merge(ctx, at, ends, yield); err != nil || !goOn {
		return goOn, err
	}
	for log, last := range tails {
		if at[log].index <= last.index { // what is missing was removed by retention
			at[log] = last
		}
	}
	return true, nil
}
