package seal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
)

// DefaultInterval is how often a [Sealer] looks whether logs have grown; with what
// signing takes it keeps an event from waiting a second.
const DefaultInterval = 800 * time.Millisecond

// lastSeal bounds how long a sealer that was asked to stop tries to seal once more.
const lastSeal = 5 * time.Second

// CheckpointsLog is the log that holds the checkpoints of all the others. It is
// not sealed itself: every checkpoint would call for another.
const CheckpointsLog = audit.OwnDomain + "/" + audit.TopicCheckpoints

// Trees gives the Merkle trees of a log, and its records by their place in them.
// It is safe for concurrent use and shows only what is durable.
type Trees interface {
	// Sizes returns how many records each log has, by name. The caller owns the map.
	Sizes(ctx context.Context) (map[string]int64, error)
	// Hashes reads the stored hashes of a log's tree.
	Hashes(ctx context.Context, log string) tlog.HashReader
	// Record returns the record at p, or an error that wraps audit.ErrNotFound.
	Record(ctx context.Context, p audit.Position) (audit.Record, error)
}

// Config says what a [Sealer] seals, and as whom. Log, Trees, Key, Tenant and
// Source are required.
type Config struct {
	Log      audit.Log     // takes the checkpoints
	Trees    Trees         // of the same log
	Key      *Key          // signs, until another succeeds it
	Trusted  []Verifier    // earlier keys, whose checkpoints stand in the log
	Tenant   string        // of every log
	Source   string        // of the events: deed://tenant/replica
	Interval time.Duration // between two looks; zero means DefaultInterval
	Turn     Turn          // of the replicas that share the log, which one seals; nil: there is no other
	Logger   *slog.Logger  // told when checkpoints cannot be stored; nil for none
}

// InconsistentError tells that a log is not what was signed before: it was cut
// short or rewritten, or the checkpoint in the log is not one of ours. It is
// never signed over.
type InconsistentError struct {
	Log    string
	Signed int64 // size in the last checkpoint
	Size   int64 // size of the log now
	Err    error // why
}

func (e *InconsistentError) Error() string {
	return fmt.Sprintf("log %s, now of %d records, does not extend what was signed at %d: %v", e.Log, e.Size, e.Signed, e.Err)
}

func (e *InconsistentError) Unwrap() error { return e.Err }

// Sealer signs a checkpoint of every log that has grown.
type Sealer struct {
	cfg Config

	mu     sync.Mutex
	key    *Key              // guarded by mu: that signs
	keys   []Verifier        // guarded by mu: whose checkpoints stand in the log
	signed map[string]sealed // guarded by mu: the last checkpoint of each log
	ready  bool              // the last checkpoints have been read; only Run's
	read   int64             // of the checkpoints' log, how many; only Run's

	witnessed map[string]witnessed // guarded by mu: what witnesses have signed of each log
	leading   atomic.Bool          // between await and the end of run
}

type sealed struct {
	tree     Checkpoint
	note     string
	by       string   // the key that signed it
	frontier []string // as its event has it
}

// NewSealer returns a sealer that does nothing until it is run.
func NewSealer(cfg Config) (*Sealer, error) {
	switch {
	case cfg.Log == nil, cfg.Trees == nil, cfg.Key == nil, cfg.Source == "":
		return nil, errors.New("new sealer: log, trees, key and source are required")
	case KeyName(cfg.Tenant) != cfg.Key.verifier.Name():
		return nil, fmt.Errorf("new sealer: the key is of %s, the tenant %q", cfg.Key.verifier.Name(), cfg.Tenant)
	case cfg.Interval < 0:
		return nil, errors.New("new sealer: interval is negative")
	}
	if cfg.Interval == 0 {
		cfg.Interval = DefaultInterval
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	keys := append([]Verifier{cfg.Key.verifier}, cfg.Trusted...)
	return &Sealer{cfg: cfg, key: cfg.Key, keys: keys, signed: map[string]sealed{}, witnessed: map[string]witnessed{}}, nil
}

// Verifier is the public half of the key that signs.
func (s *Sealer) Verifier() Verifier { return s.signer().verifier }

func (s *Sealer) signer() *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

// Succeed has a key sign from now on, and every log that another has signed. It is the last of the chain, those that the log
// names, whose checkpoints stand in it.
func (s *Sealer) Succeed(key *Key, chain []Verifier) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
	for _, k := range append(slices.Clone(chain), key.verifier) {
		if !slices.ContainsFunc(s.keys, func(have Verifier) bool { return have.text == k.text }) {
			s.keys = append(s.keys, k)
		}
	}
}

// trusted are the keys whose checkpoints stand in the log.
func (s *Sealer) trusted() []Verifier {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys)
}

// Run seals until ctx is done, and once more then; it returns nil. Where the log
// cannot take a checkpoint it tries again at the next look. It returns early, with
// an [*InconsistentError], when a log is not what was signed before: from then on
// nothing vouches for the history, and somebody has to look at it.
//
// It reads sizes from memory and hashes from the log's readers; appends wait for
// it no longer than for any other append.
//
// Of several replicas one seals; the others read its checkpoints, and wait for their turn.
func (s *Sealer) Run(ctx context.Context) error {
	for {
		if err := s.await(ctx); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was never this replica's turn
			}
			return err
		}
		err := s.run(ctx)
		if s.cfg.Turn == nil || !errors.Is(err, audit.ErrFenced) {
			return err
		}
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "another replica seals now")
	}
}

// run seals while it is this replica's turn.
func (s *Sealer) run(ctx context.Context) error {
	s.leading.Store(true)
	defer s.leading.Store(false)
	tick := time.NewTicker(s.cfg.Interval)
	defer tick.Stop()
	for {
		if err := s.attempt(ctx); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSeal)
			defer cancel()
			return s.attempt(last)
		}
	}
}

// attempt returns only what no further attempt can mend.
func (s *Sealer) attempt(ctx context.Context) error {
	err := s.Seal(ctx)
	if _, broken := errors.AsType[*InconsistentError](err); broken {
		return fmt.Errorf("seal: %w", err)
	}
	if errors.Is(err, audit.ErrFenced) {
		return err
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "logs are not sealed, trying again", slog.String("error", err.Error()))
	}
	return nil
}

// Latest returns the last signed checkpoint of a log, as its note and as what the note says.
func (s *Sealer) Latest(log string) (note string, c Checkpoint, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.signed[log]
	return last.note, last.tree, ok
}

// Seal appends a checkpoint for every log that has grown since its last one. It
// must not run beside [Sealer.Run].
func (s *Sealer) Seal(ctx context.Context) error {
	sizes, err := s.cfg.Trees.Sizes(ctx)
	if err != nil {
		return err
	}
	if !s.ready {
		if err := s.recall(ctx, sizes); err != nil {
			return err
		}
		s.ready = true
	}
	if err := s.checkPresent(sizes); err != nil {
		return err
	}
	for _, log := range slices.Sorted(maps.Keys(sizes)) {
		if log == CheckpointsLog {
			continue
		}
		err := s.sealLog(ctx, log, sizes[log])
		if errors.Is(err, audit.ErrNotFound) { // it had been trimmed, and has a record again
			if err = s.recall(ctx, sizes); err == nil {
				err = s.sealLog(ctx, log, sizes[log])
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPresent finds logs that were signed and are gone.
func (s *Sealer) checkPresent(sizes map[string]int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for log, last := range s.signed {
		if _, there := sizes[log]; !there && last.tree.Size > 0 && !s.mayBeTrimmed(0) {
			return &InconsistentError{Log: log, Signed: last.tree.Size, Err: errors.New("the log is gone")}
		}
	}
	return nil
}

func (s *Sealer) sealLog(ctx context.Context, log string, size int64) error {
	s.mu.Lock()
	last, known := s.signed[log]
	cosigned, key := s.pending(log), s.key
	s.mu.Unlock()
	if size == last.tree.Size && cosigned == "" && (size == 0 || last.by == key.verifier.text) {
		return nil
	}
	hashes := s.cfg.Trees.Hashes(ctx, log)
	now, err := s.extend(hashes, log, size, last.tree, known)
	if err != nil {
		return err
	}
	signed, err := key.Sign(now)
	if err != nil {
		return err
	}
	if err := s.append(ctx, now, signed, cosigned, hashes); err != nil {
		return err
	}
	s.mu.Lock()
	s.signed[log] = sealed{tree: now, note: signed, by: key.verifier.text}
	s.stored(log, cosigned)
	s.mu.Unlock()
	return nil
}

// extend returns the log's tree as it is now, proved to extend what was signed.
func (s *Sealer) extend(hashes tlog.HashReader, log string, size int64, last Checkpoint, known bool) (Checkpoint, error) {
	if size < last.Size {
		return Checkpoint{}, &InconsistentError{Log: log, Signed: last.Size, Size: size, Err: errors.New("records are missing at its end")}
	}
	root, err := tlog.TreeHash(size, hashes)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("hash %s at %d: %w", log, size, err)
	}
	now := Checkpoint{Tenant: s.cfg.Tenant, Log: log, Size: size, Root: root}
	if !known {
		return now, nil
	}
	proof, err := ProveConsistency(log, last.Size, size, hashes)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := proof.Check(last, now); err != nil {
		return Checkpoint{}, &InconsistentError{Log: log, Signed: last.Size, Size: size, Err: err}
	}
	return now, nil
}

func (s *Sealer) append(ctx context.Context, c Checkpoint, signed, cosigned string, hashes tlog.HashReader) error {
	said := audit.Checkpoint{Log: c.Log, Size: c.Size, Note: signed, Witnessed: cosigned}
	if _, trimmed := s.cfg.Trees.(Seeded); trimmed {
		var err error
		if said.Frontier, err = readFrontier(c.Size, hashes); err != nil {
			return err
		}
	}
	data, err := json.Marshal(said)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = s.cfg.Log.Append(ctx, audit.Event{
		SpecVersion: "1.0", ID: id.String(), Type: audit.TreeSigned, Source: s.cfg.Source,
		Time: time.Now().UTC(), DataContentType: "application/json",
		Tenant: s.cfg.Tenant, Domain: audit.OwnDomain, Topic: audit.TopicCheckpoints, Data: data,
	})
	return err
}
