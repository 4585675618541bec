package broker

import (
	"slices"
	"sync"

	"github.com/deedbroker/deed/audit"
)

// maxRotations bounds the rotations that are remembered, the latest. The log has them all.
const maxRotations = 1000

// sealKeys are the keys that have signed checkpoints, one after the other.
type sealKeys struct {
	mu        sync.Mutex
	rotations []audit.Rotation // guarded by mu: the oldest first
}

// fold reads that a key has given its place to another. Whether it did is for whoever
// trusts it to check.
func (k *sealKeys) fold(e audit.Event) error {
	if e.Type != audit.KeyRotated {
		return nil
	}
	r, err := audit.DataOf[audit.Rotation](e)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rotations = append(k.rotations, r)
	if len(k.rotations) > maxRotations {
		k.rotations = slices.Clone(k.rotations[len(k.rotations)-maxRotations:])
	}
	return nil
}

// KeyRotations are the statements by which keys that signed checkpoints gave their places
// to others, the oldest first.
func (b *Broker) KeyRotations() []audit.Rotation {
	b.sealKeys.mu.Lock()
	defer b.sealKeys.mu.Unlock()
	return slices.Clone(b.sealKeys.rotations)
}
