package seal

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
)

// recall reads the last checkpoint of every log back from the log itself, newest
// first, until each log that has records has one, and checks each against the
// tree as it is now.
func (s *Sealer) recall(ctx context.Context, sizes map[string]int64) error {
	missing := map[string]bool{}
	s.mu.Lock()
	for log, size := range sizes {
		if _, known := s.signed[log]; log != CheckpointsLog && size > 0 && !known {
			missing[log] = true
		}
	}
	s.mu.Unlock()
	for index := sizes[CheckpointsLog] - 1; index >= 0 && len(missing) > 0; index-- {
		last, err := s.recallOne(ctx, audit.Position{Log: CheckpointsLog, Index: index}, sizes)
		if errors.Is(err, audit.ErrNotFound) {
			break // retention has removed it, and those before it
		}
		if err != nil {
			return err
		}
		log := last.tree.Log
		s.mu.Lock()
		if _, newer := s.signed[log]; !newer {
			s.signed[log] = last
		}
		s.mu.Unlock()
		delete(missing, log)
	}
	return s.checkRecalled(ctx, sizes)
}

func (s *Sealer) recallOne(ctx context.Context, p audit.Position, sizes map[string]int64) (sealed, error) {
	record, err := s.cfg.Trees.Record(ctx, p)
	if err != nil {
		return sealed{}, err
	}
	fail := func(err error) (sealed, error) {
		return sealed{}, &InconsistentError{Log: CheckpointsLog, Size: sizes[CheckpointsLog], Err: fmt.Errorf("%s: %w", p, err)}
	}
	event, err := record.Event()
	if err != nil {
		return fail(err)
	}
	data, err := audit.DataOf[audit.Checkpoint](event)
	if err != nil {
		return fail(err)
	}
	c, by, err := OpenEvent(data, s.trusted()...)
	if err != nil {
		return fail(err)
	}
	return sealed{tree: c, note: data.Note, by: by.text, frontier: data.Frontier}, nil
}

func (s *Sealer) checkRecalled(ctx context.Context, sizes map[string]int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for log, last := range s.signed {
		size := sizes[log]
		if s.mayBeTrimmed(size) {
			continue
		}
		if last.tree.Size > size {
			return &InconsistentError{Log: log, Signed: last.tree.Size, Size: size, Err: errors.New("records are missing at its end")}
		}
		root, err := s.rootOf(ctx, log, last)
		if err != nil {
			return fmt.Errorf("hash %s at %d: %w", log, last.tree.Size, err)
		}
		if root != last.tree.Root {
			return &InconsistentError{Log: log, Signed: last.tree.Size, Size: sizes[log], Err: fmt.Errorf("%w: its root was another", ErrProof)}
		}
	}
	return nil
}

// rootOf is the root of a log's tree when it was signed last. Where the tree lacks
// records that retention has removed, it grows on from what the checkpoint says.
func (s *Sealer) rootOf(ctx context.Context, log string, last sealed) (tlog.Hash, error) {
	root, err := tlog.TreeHash(last.tree.Size, s.cfg.Trees.Hashes(ctx, log))
	seeded, ok := s.cfg.Trees.(Seeded)
	if !ok || !errors.Is(err, audit.ErrNotFound) || len(last.frontier) == 0 {
		return root, err
	}
	f, err := OpenFrontier(last.tree, last.frontier)
	if err != nil {
		return tlog.Hash{}, err
	}
	if err := seeded.Seed(ctx, log, f); err != nil {
		return tlog.Hash{}, err
	}
	return tlog.TreeHash(last.tree.Size, s.cfg.Trees.Hashes(ctx, log))
}

// mayBeTrimmed reports whether retention may have removed all that a log had before this
// replica could read it. Its next record tells.
func (s *Sealer) mayBeTrimmed(size int64) bool {
	_, seeded := s.cfg.Trees.(Seeded)
	return seeded && size == 0
}
