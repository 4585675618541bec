package dpop

import (
	"crypto/sha256"
	"sync"
	"time"
)

type verdict uint8

const (
	fresh verdict = iota
	again
	full
)

// share is the part of what is kept that one key may fill.
const share = 16

type proofID [sha256.Size]byte

// seen remembers proofs for at least a span of time, in two generations: when one is as
// old as the span, the one before it is forgotten.
type seen struct {
	most int
	span time.Duration

	mu    sync.Mutex // guards what follows
	now   generation
	older generation
	since time.Time // when now began
}

type generation struct {
	proofs map[proofID]struct{}
	byKey  map[string]int
}

func newGeneration() generation {
	return generation{proofs: map[proofID]struct{}{}, byKey: map[string]int{}}
}

func newSeen(most int, span time.Duration) *seen {
	return &seen{most: max(most, share), span: span, now: newGeneration(), older: newGeneration()}
}

func (s *seen) add(key, id string, at time.Time) verdict {
	p := proofID(sha256.Sum256([]byte(key + "\x00" + id)))
	s.mu.Lock()
	defer s.mu.Unlock()
	switch age := at.Sub(s.since); {
	case age >= 2*s.span:
		s.now, s.older, s.since = newGeneration(), newGeneration(), at
	case age >= s.span:
		s.now, s.older, s.since = newGeneration(), s.now, at
	}
	if _, ok := s.now.proofs[p]; ok {
		return again
	}
	if _, ok := s.older.proofs[p]; ok {
		return again
	}
	if len(s.now.proofs) >= s.most || s.now.byKey[key] >= s.most/share {
		return full
	}
	s.now.proofs[p] = struct{}{}
	s.now.byKey[key]++
	return fresh
}
