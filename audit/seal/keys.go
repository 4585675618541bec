package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/deedbroker/deed/audit"
)

// NextSuffix ends the name of the file, beside that of a key, that has its successor.
const NextSuffix = ".next"

// ErrNoSuccessor says that there is no key beside the one that was in force that could take
// its place, or not the one that does.
var ErrNoSuccessor = errors.New("there is no successor of the key")

// Keys are the key of a log in its file and, beside it, the one that is to take its place.
// Which of the two is in force is what the log says, so that a crash between the record and
// the files changes nothing. It is safe for concurrent use.
type Keys struct {
	path, tenant string

	mu      sync.Mutex
	inForce *Key // guarded by mu
}

// OpenKeys loads the key at path, or creates it for the tenant as [LoadOrCreateKey] does.
func OpenKeys(path, tenant string) (*Keys, error) {
	key, err := LoadOrCreateKey(path, tenant)
	if err != nil {
		return nil, err
	}
	return &Keys{path: path, tenant: tenant, inForce: key}, nil
}

// Stage makes the successor of the key at path, unless there is one. The key stays in force.
func Stage(path, tenant string) (Verifier, error) {
	next, err := LoadOrCreateKey(path+NextSuffix, tenant)
	if err != nil {
		return Verifier{}, fmt.Errorf("stage key: %w", err)
	}
	return next.Verifier(), nil
}

// Key is the key in force.
func (k *Keys) Key() *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.inForce
}

// Verifier is the public half of the key in force.
func (k *Keys) Verifier() Verifier { return k.Key().Verifier() }

// Vouch is [Key.Vouch] of the key in force.
func (k *Keys) Vouch(a audit.StatementKey) (audit.StatementKey, error) { return k.Key().Vouch(a) }

// HandOver makes the statement by which the key in force gives its place to its
// successor. With fresh the successor is made if there is none; without, that is
// [ErrNoSuccessor]. Nothing is in force by it before [Keys.Follow].
func (k *Keys) HandOver(fresh bool) (audit.Rotation, error) {
	if err := k.Settle(); err != nil { // else the key in force would stand where its successor is looked for
		return audit.Rotation{}, err
	}
	current := k.Key()
	next, err := LoadKey(k.path + NextSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		if !fresh {
			return audit.Rotation{}, fmt.Errorf("rotate key: %w: %s", ErrNoSuccessor, k.path+NextSuffix)
		}
		next, err = CreateKey(k.path+NextSuffix, k.tenant)
	}
	if err != nil {
		return audit.Rotation{}, fmt.Errorf("rotate key: %w", err)
	}
	return current.HandOver(next.Verifier())
}

// Follow puts the key in force that the log names, the one that it is or its successor.
// A key that is neither is an error.
func (k *Keys) Follow(named Verifier) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.inForce.verifier.text == named.text {
		return nil
	}
	for _, path := range []string{k.path + NextSuffix, k.path} { // another, with the same files, may have settled it
		key, err := LoadKey(path)
		switch {
		case err == nil && key.verifier.text == named.text:
			k.inForce = key
			return nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("follow rotation to %s: %w", named, err)
		}
	}
	return fmt.Errorf("follow rotation to %s: %w: it is not in %s", named, ErrNoSuccessor, k.path+NextSuffix)
}

// Settle puts the file of the key in force in the place of that of the key before, which is
// gone then: whoever steals it later steals nothing. Where files cannot be written, it can
// be done by hand.
func (k *Keys) Settle() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	next, err := LoadKey(k.path + NextSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && next.verifier.text == k.inForce.verifier.text {
		err = os.Rename(k.path+NextSuffix, k.path)
		if errors.Is(err, fs.ErrNotExist) { // another was faster
			return nil
		}
		err = errors.Join(err, syncDir(filepath.Dir(k.path)))
	}
	if err != nil {
		return fmt.Errorf("settle key: %w", err)
	}
	return nil
}
