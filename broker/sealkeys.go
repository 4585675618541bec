package broker

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// maxRotations bounds the rotations that are remembered, the latest. The log has them all.
const maxRotations = 1000

// SealKeys are the key that seals the log, and its successor; *seal.Keys is one.
type SealKeys interface {
	// Verifier is the public half of the key in force.
	Verifier() seal.Verifier
	// Vouch signs the announcement of a key that states who makes each call.
	Vouch(a audit.StatementKey) (audit.StatementKey, error)
	// HandOver is by which the key in force gives its place to its successor, one that is
	// made if need be where fresh is true.
	HandOver(fresh bool) (audit.Rotation, error)
	// Follow puts the key in force that the log names. It fails if this replica has it not.
	Follow(named seal.Verifier) error
}

// sealKeys are the keys that have signed checkpoints, one after the other.
type sealKeys struct {
	mu        sync.Mutex
	chain     []seal.Verifier  // guarded by mu: the oldest first
	rotations []audit.Rotation // guarded by mu: from each of them to the next
	since     time.Time        // guarded by mu: when the last came in force
	followed  string           // guarded by mu: the key that this replica signs with since a rotation
	changed   chan struct{}    // guarded by mu: closed when that has changed; nil if nobody waits

	rotating sync.Mutex // one rotation at a time
	tryAgain time.Time  // of housekeeping alone: when a rotation for age that failed is tried again
}

// fold reads which key is in force at first, and that a key has given its place to another.
// What the key in force has not signed is an error, and changes nothing.
func (k *sealKeys) fold(e audit.Event) error {
	switch e.Type {
	case audit.ReplicaStarted:
		s, err := audit.DataOf[audit.Started](e)
		if err != nil || s.Key == "" {
			return err
		}
		return k.begin(s.Key, e.Time)
	case audit.KeyRotated:
		r, err := audit.DataOf[audit.Rotation](e)
		if err != nil {
			return err
		}
		return k.rotate(r, e.Time)
	default:
		return nil
	}
}

// begin takes the first key that the log names.
func (k *sealKeys) begin(key string, at time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.chain) > 0 {
		return nil
	}
	first, err := seal.ParseVerifier(key)
	if err == nil {
		k.chain, k.since = append(k.chain, first), at
	}
	return err
}

func (k *sealKeys) rotate(r audit.Rotation, at time.Time) error {
	if err := k.begin(r.Old, at); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.rotations); n > 0 && k.rotations[n-1].Old == r.Old && k.rotations[n-1].New == r.New {
		return nil // two replicas said the same
	}
	next, err := seal.OpenRotation(r, k.chain[len(k.chain)-1])
	if err != nil {
		return err
	}
	k.chain, k.since = append(k.chain, next), at
	k.rotations = append(k.rotations, audit.Rotation{Old: r.Old, New: r.New, Note: r.Note})
	if len(k.rotations) > maxRotations {
		k.rotations = slices.Clone(k.rotations[len(k.rotations)-maxRotations:])
		k.chain = slices.Clone(k.chain[len(k.chain)-maxRotations-1:])
	}
	return nil
}

// follow notes that this replica signs with a key.
func (k *sealKeys) follow(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.followed = key
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
}

func (k *sealKeys) follows(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.followed == key
}

// inForce is the last of the chain; false while the log names none.
func (k *sealKeys) inForce() (seal.Verifier, time.Time, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.chain) == 0 {
		return seal.Verifier{}, time.Time{}, false
	}
	return k.chain[len(k.chain)-1], k.since, true
}

func (k *sealKeys) wait() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.changed == nil {
		k.changed = make(chan struct{})
	}
	return k.changed
}

// KeyRotations are the statements by which keys that signed checkpoints gave their places
// to others, the oldest first.
func (b *Broker) KeyRotations() []audit.Rotation {
	b.sealKeys.mu.Lock()
	defer b.sealKeys.mu.Unlock()
	return slices.Clone(b.sealKeys.rotations)
}

// SealedBy are the keys that have signed checkpoints, the last of them now.
func (b *Broker) SealedBy() []seal.Verifier {
	b.sealKeys.mu.Lock()
	defer b.sealKeys.mu.Unlock()
	return slices.Clone(b.sealKeys.chain)
}

// key is the verifier key in force here; empty if nothing is sealed.
func (b *Broker) key() string {
	if b.cfg.Keys == nil {
		return ""
	}
	return b.cfg.Keys.Verifier().String()
}

// followKey has this replica use the key that the log names. One that has it not must not
// go on: what it signs is an alarm.
func (b *Broker) followKey() error {
	named, _, ok := b.sealKeys.inForce()
	if !ok || b.cfg.Keys == nil {
		return nil
	}
	own := b.key()
	if err := b.cfg.Keys.Follow(named); err != nil {
		return fmt.Errorf("%w: %w", &KeyError{InForce: named.String(), Own: own}, err)
	}
	b.sealKeys.follow(named.String())
	return nil
}
