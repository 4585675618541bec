package seal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Turn decides which of the replicas that share a log seals it.
type Turn interface {
	// Lead waits until this replica is the only one whose checkpoints the log takes, and
	// its Trees have whatever was in the log by then. It stays so until an Append fails
	// with [audit.ErrFenced].
	Lead(ctx context.Context) error
}

// Seeded are [Trees] of which retention may have removed records before this replica
// read them.
type Seeded interface {
	// Seed makes a tree known from its frontier on: the hashes of the tree at that size,
	// and of all that is larger, can be read afterwards.
	Seed(ctx context.Context, log string, f *Frontier) error
}

// await waits for this replica's turn, and meanwhile learns what others seal.
func (s *Sealer) await(ctx context.Context) error {
	if s.cfg.Turn == nil {
		return nil
	}
	led := make(chan error, 1)
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() { led <- s.cfg.Turn.Lead(waiting) }()
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case err := <-led:
			s.forget()
			return err
		case <-tick.C:
			if err := s.learn(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "checkpoints of the replica that seals cannot be read", slog.String("error", err.Error()))
			}
		}
	}
}

// forget has the last checkpoints read from the log again, and checked.
func (s *Sealer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.read = false, 0
	clear(s.signed)
}

// learn reads the checkpoints that came since the last time. What they say is checked
// by whoever seals next.
func (s *Sealer) learn(ctx context.Context) error {
	sizes, err := s.cfg.Trees.Sizes(ctx)
	if err != nil {
		return err
	}
	if s.read == 0 { // the newest of each log, which stand at the end
		s.read = max(0, sizes[CheckpointsLog]-4*int64(len(sizes)))
	}
	for ; s.read < sizes[CheckpointsLog]; s.read++ {
		last, err := s.recallOne(ctx, audit.Position{Log: CheckpointsLog, Index: s.read}, sizes)
		if errors.Is(err, audit.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.signed[last.tree.Log] = last
		s.mu.Unlock()
	}
	return nil
}
