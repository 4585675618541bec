package oidc

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// maxRetry is the longest pause between attempts while a provider is out of reach.
const maxRetry = 30 * time.Second

// key is a public key that the provider published. Cached tokens point to the key
// that signed them, so that they die with it.
type key struct {
	id        string
	algorithm string // as the provider limits it; may be empty
	public    crypto.PublicKey
	withdrawn atomic.Bool
}

// keySource holds the keys of one provider. Its run is the only place that asks
// the provider for them.
type keySource struct {
	fetch       func(context.Context) (map[string]*key, error) // by thumbprint
	interval    time.Duration
	minInterval time.Duration
	maxAge      time.Duration
	log         *slog.Logger
	nudge       chan struct{} // capacity 1: a token named an unknown key

	mu        sync.RWMutex // guards what follows
	keys      map[string]*key
	fetched   time.Time // last success; zero before the first
	attempted time.Time
	err       error         // of the last attempt
	attempt   chan struct{} // closed when the attempt that is due or under way is over
	running   bool
}

// run fetches until ctx is done: at once, then every interval, sooner after a
// failure, and when nudged.
func (s *keySource) run(ctx context.Context) {
	s.setRunning(true)
	defer s.setRunning(false)
	failures := 0
	for {
		if s.refresh(ctx) {
			failures = 0
		} else {
			failures++
		}
		if !s.pause(ctx, failures) {
			return
		}
	}
}

func (s *keySource) setRunning(running bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = running
	if !running {
		close(s.attempt) // whoever waits gets no answer any more
		s.attempt = make(chan struct{})
	}
}

// pause waits until the next attempt is due; false if ctx is done.
func (s *keySource) pause(ctx context.Context, failures int) bool {
	wait := s.interval
	if failures > 0 {
		wait = min(wait, maxRetry, time.Second<<min(failures-1, 5))
	}
	due := time.NewTimer(wait)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-due.C:
			return true
		case <-s.nudge:
			if s.mayFetch() {
				return true
			}
		}
	}
}

func (s *keySource) mayFetch() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return time.Since(s.attempted) >= s.minInterval
}

func (s *keySource) refresh(ctx context.Context) bool {
	fresh, err := s.fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempted, s.err = time.Now(), err
	close(s.attempt)
	s.attempt = make(chan struct{})
	if err != nil {
		if ctx.Err() == nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "keys of an issuer cannot be fetched", slog.String("error", err.Error()), slog.Int("keys_kept", len(s.keys)))
		}
		return false
	}
	s.fetched = s.attempted
	s.replace(ctx, fresh)
	return true
}

// replace keeps the keys that are still published, and withdraws the others.
func (s *keySource) replace(ctx context.Context, fresh map[string]*key) {
	added, withdrawn := 0, 0
	for thumbprint, k := range s.keys {
		if _, ok := fresh[thumbprint]; ok {
			fresh[thumbprint] = k
			continue
		}
		k.withdrawn.Store(true)
		withdrawn++
	}
	for thumbprint := range fresh {
		if _, ok := s.keys[thumbprint]; !ok {
			added++
		}
	}
	s.keys = fresh
	if added > 0 || withdrawn > 0 {
		s.log.LogAttrs(ctx, slog.LevelInfo, "keys of an issuer changed", slog.Int("added", added), slog.Int("withdrawn", withdrawn))
	}
}

// await waits for the keys that the provider publishes now, if it may be asked
// again; it returns at once if not.
func (s *keySource) await(ctx context.Context) {
	s.mu.RLock()
	attempt, worthwhile := s.attempt, s.running && time.Since(s.attempted) >= s.minInterval
	s.mu.RUnlock()
	if !worthwhile {
		return
	}
	select {
	case s.nudge <- struct{}{}:
	default: // another token has asked already
	}
	select {
	case <-attempt:
	case <-ctx.Done():
	}
}

// awaitFirst waits for the first attempt, if it is under way.
func (s *keySource) awaitFirst(ctx context.Context) {
	s.mu.RLock()
	attempt, first := s.attempt, s.running && s.attempted.IsZero()
	s.mu.RUnlock()
	if !first {
		return
	}
	select {
	case <-attempt:
	case <-ctx.Done():
	}
}

// waitReady waits until there are keys that can be used.
func (s *keySource) waitReady(ctx context.Context) error {
	for {
		s.mu.RLock()
		attempt, ready, last := s.attempt, len(s.keys) > 0 && s.currentLocked(time.Now()), s.err
		s.mu.RUnlock()
		if ready {
			return nil
		}
		select {
		case <-attempt:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		}
	}
}

// trusts tells whether a token that k once signed may still pass.
func (s *keySource) trusts(k *key, now time.Time) bool {
	return !k.withdrawn.Load() && s.current(now)
}

// current tells whether the keys are young enough to rely on.
func (s *keySource) current(now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.currentLocked(now)
}

func (s *keySource) currentLocked(now time.Time) bool {
	return !s.fetched.IsZero() && now.Sub(s.fetched) <= s.maxAge
}

// candidates are the keys that may have signed a token. One that does not name its
// key must leave no choice (OpenID Connect Core section 10.1).
func (s *keySource) candidates(id, algorithm string) []*key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*key
	for _, k := range s.keys {
		if (id == "" || k.id == id) && k.fits(algorithm) {
			out = append(out, k)
		}
	}
	if id == "" && len(out) > 1 {
		return nil
	}
	return out
}

// troubled tells whether the provider did not answer last time.
func (s *keySource) troubled() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.err != nil
}

func (s *keySource) health(url string) IssuerHealth {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h := IssuerHealth{Issuer: url, Ready: s.currentLocked(time.Now()) && len(s.keys) > 0, Keys: len(s.keys), Fetched: s.fetched}
	switch {
	case s.err != nil:
		h.Trouble = s.err.Error()
	case s.attempted.IsZero():
		h.Trouble = "not asked for its keys yet"
	case len(s.keys) == 0:
		h.Trouble = "publishes no key that can be used"
	}
	return h
}
