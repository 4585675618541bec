package witness

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// What [Config] leaves out stands for this.
const (
	DefaultEvery = 10 * time.Second
	DefaultWait  = 5 * time.Second
)

// Config says whom [Rounds] asks, and how.
type Config struct {
	Sealer    *seal.Sealer
	Trees     seal.Trees
	Witnesses []*Client
	Quorum    int           // how many have to sign; zero means all
	Every     time.Duration // between two rounds; zero means DefaultEvery
	Wait      time.Duration // for an answer; zero means DefaultWait
	Logger    *slog.Logger
	// Rotations are those that led to the key that seals, the oldest first, for witnesses
	// that know an earlier one; may be nil.
	Rotations func() []audit.Rotation
}

// Rounds asks witnesses to sign the checkpoints of all logs that have grown, a round now
// and then. Sealing and calls never wait for it.
type Rounds struct {
	cfg Config

	mu     sync.Mutex
	signed map[string]map[string]int64 // guarded by mu: by witness and log, the size that it has signed
	behind map[string]time.Time        // guarded by mu: by log, since when there is something that too few have signed
}

// NewRounds returns rounds that begin when they are run.
func NewRounds(cfg Config) (*Rounds, error) {
	if cfg.Sealer == nil || cfg.Trees == nil || len(cfg.Witnesses) == 0 || cfg.Quorum < 0 || cfg.Quorum > len(cfg.Witnesses) {
		return nil, errors.New("new rounds: sealer, trees, witnesses and a quorum of them are required")
	}
	if cfg.Quorum == 0 {
		cfg.Quorum = len(cfg.Witnesses)
	}
	if cfg.Every <= 0 {
		cfg.Every = DefaultEvery
	}
	if cfg.Wait <= 0 {
		cfg.Wait = DefaultWait
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Rounds{cfg: cfg, signed: map[string]map[string]int64{}, behind: map[string]time.Time{}}, nil
}

// Run makes rounds until ctx is done.
func (r *Rounds) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Every)
	defer tick.Stop()
	for {
		if err := r.Round(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "checkpoints are not witnessed, trying again", slog.String("error", err.Error()))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Behind is for how long there has been a checkpoint that too few witnesses have signed.
func (r *Rounds) Behind(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var longest time.Duration
	for _, since := range r.behind {
		longest = max(longest, now.Sub(since))
	}
	return longest
}

// Round has the newest checkpoint of each log signed. A replica that does not seal asks
// nobody: the one that does, does.
func (r *Rounds) Round(ctx context.Context) error {
	if !r.cfg.Sealer.Leading() {
		r.mu.Lock()
		clear(r.behind)
		r.mu.Unlock()
		return nil
	}
	sizes, err := r.cfg.Trees.Sizes(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, log := range slices.Sorted(maps.Keys(sizes)) {
		note, c, ok := r.cfg.Sealer.Latest(log)
		if _, before, _ := r.cfg.Sealer.Witnessed(log); !ok || c.Size <= before.Size {
			continue
		}
		errs = append(errs, r.witness(ctx, note, c))
	}
	return errors.Join(errs...)
}

// witness has one checkpoint signed by all witnesses at once.
func (r *Rounds) witness(ctx context.Context, note string, c seal.Checkpoint) error {
	r.mu.Lock()
	if _, late := r.behind[c.Log]; !late {
		r.behind[c.Log] = time.Now()
	}
	r.mu.Unlock()
	lines := make([]string, len(r.cfg.Witnesses))
	errs := make([]error, len(r.cfg.Witnesses))
	var all sync.WaitGroup
	for i, w := range r.cfg.Witnesses {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, r.cfg.Wait)
			defer cancel()
			lines[i], errs[i] = r.ask(ctx, w, note, c)
		})
	}
	all.Wait()
	lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" })
	if len(lines) < r.cfg.Quorum {
		return errors.Join(errs...)
	}
	if err := r.cfg.Sealer.Witness(c, note+strings.Join(lines, "")); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.behind, c.Log)
	r.mu.Unlock()
	return nil
}

// ask has one witness sign. One that has signed another size than we remember says so,
// and is asked once more.
func (r *Rounds) ask(ctx context.Context, w *Client, note string, c seal.Checkpoint) (string, error) {
	old := r.remembered(w, c.Log)
	line, err := r.add(ctx, w, old, note, c)
	if errors.Is(err, ErrRefused) && r.introduce(ctx, w) {
		line, err = r.add(ctx, w, old, note, c)
	}
	if conflict, ok := errors.AsType[*ConflictError](err); ok && conflict.Size != old {
		old = conflict.Size
		line, err = r.add(ctx, w, old, note, c)
	}
	if err == nil {
		old = c.Size
	}
	r.remember(w, c.Log, old)
	return line, err
}

// introduce tells a witness of the keys that took the place of the one that it knows. It
// reports whether the witness took them.
func (r *Rounds) introduce(ctx context.Context, w *Client) bool {
	if r.cfg.Rotations == nil {
		return false
	}
	rotations := r.cfg.Rotations()
	if len(rotations) == 0 {
		return false
	}
	err := w.Introduce(ctx, rotations)
	if err != nil && ctx.Err() == nil {
		r.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "a witness does not take the key that seals: give it the new one", slog.String("error", err.Error()))
	}
	return err == nil
}

func (r *Rounds) add(ctx context.Context, w *Client, old int64, note string, c seal.Checkpoint) (string, error) {
	if old > c.Size {
		return "", &seal.InconsistentError{Log: c.Log, Signed: old, Size: c.Size, Err: errors.New("witness " + w.Key.Name() + " has signed more")}
	}
	proof := seal.Consistency{}
	if old > 0 && old < c.Size {
		var err error
		if proof, err = seal.ProveConsistency(c.Log, old, c.Size, r.cfg.Trees.Hashes(ctx, c.Log)); err != nil {
			return "", err
		}
	}
	return w.Add(ctx, old, proof.Path, note)
}

func (r *Rounds) remembered(w *Client, log string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.signed[w.Key.String()][log]
}

func (r *Rounds) remember(w *Client, log string, size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.signed[w.Key.String()] == nil {
		r.signed[w.Key.String()] = map[string]int64{}
	}
	r.signed[w.Key.String()][log] = size
}
