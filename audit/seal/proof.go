package seal

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// ErrProof says that a proof does not prove what it should.
var ErrProof = errors.New("proof does not hold")

// Inclusion proves that a record is in a tree (RFC 6962 section 2.1.1).
type Inclusion struct {
	Log   string      `json:"log"`
	Index int64       `json:"index"` // of the record
	Size  int64       `json:"size"`  // of the tree
	Path  []tlog.Hash `json:"path"`
}

// Consistency proves that one tree extends another (RFC 6962 section 2.1.2).
type Consistency struct {
	Log  string      `json:"log"`
	From int64       `json:"from"` // size of the earlier tree
	To   int64       `json:"to"`   // size of the later one
	Path []tlog.Hash `json:"path"`
}

// ProveInclusion proves that the log's tree of this size holds the record at index.
func ProveInclusion(log string, index, size int64, hashes tlog.HashReader) (Inclusion, error) {
	path, err := tlog.ProveRecord(size, index, hashes)
	if err != nil {
		return Inclusion{}, fmt.Errorf("prove inclusion of %s@%d in %d: %w", log, index, size, err)
	}
	return Inclusion{Log: log, Index: index, Size: size, Path: path}, nil
}

// Check verifies that the record with these stored bytes stands at the proof's
// index of the log that c is of. Otherwise the error is [ErrProof].
func (p Inclusion) Check(c Checkpoint, stored []byte) error {
	if p.Log != c.Log || p.Size != c.Size {
		return fmt.Errorf("%w: it is of %s at %d, the checkpoint of %s at %d", ErrProof, p.Log, p.Size, c.Log, c.Size)
	}
	if err := tlog.CheckRecord(p.Path, c.Size, c.Root, p.Index, tlog.RecordHash(stored)); err != nil {
		return fmt.Errorf("%w: %s@%d in %d: %w", ErrProof, p.Log, p.Index, p.Size, err)
	}
	return nil
}

// ProveConsistency proves that the log's tree of size to extends that of size from.
func ProveConsistency(log string, from, to int64, hashes tlog.HashReader) (Consistency, error) {
	p := Consistency{Log: log, From: from, To: to, Path: []tlog.Hash{}}
	if from == 0 && to >= 0 {
		return p, nil // everything extends the empty tree
	}
	path, err := tlog.ProveTree(to, from, hashes)
	if err != nil {
		return Consistency{}, fmt.Errorf("prove consistency of %s from %d to %d: %w", log, from, to, err)
	}
	p.Path = path
	return p, nil
}

// Check verifies that the later checkpoint extends the earlier. Otherwise the
// error is [ErrProof].
func (p Consistency) Check(earlier, later Checkpoint) error {
	if p.Log != earlier.Log || p.From != earlier.Size || p.Log != later.Log || p.To != later.Size || earlier.Tenant != later.Tenant {
		return fmt.Errorf("%w: it is of %s from %d to %d, the checkpoints are not", ErrProof, p.Log, p.From, p.To)
	}
	if p.From == 0 {
		empty, err := tlog.TreeHash(0, nil)
		if err != nil || len(p.Path) != 0 || earlier.Root != empty {
			return fmt.Errorf("%w: the empty tree of %s has another root", ErrProof, p.Log)
		}
		return nil
	}
	if err := tlog.CheckTree(p.Path, later.Size, later.Root, earlier.Size, earlier.Root); err != nil {
		return fmt.Errorf("%w: %s from %d to %d: %w", ErrProof, p.Log, p.From, p.To, err)
	}
	return nil
}
