package seal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Frontier is what a Merkle tree needs to grow: the roots of its complete subtrees,
// the largest first. The zero value is the empty tree.
type Frontier struct {
	size  int64
	roots [63]tlog.Hash
}

// NewFrontier is the frontier of a tree of size records. Whether it is that of a
// signed tree shows when the tree has grown to one.
func NewFrontier(size int64, roots []tlog.Hash) (*Frontier, error) {
	f := &Frontier{size: size}
	if size < 0 || len(roots) != f.depth() {
		return nil, fmt.Errorf("make frontier: %d subtrees do not come to %d records", len(roots), size)
	}
	copy(f.roots[:], roots)
	return f, nil
}

// Size is how many records the tree has.
func (f *Frontier) Size() int64 { return f.size }

// Roots are the roots of the complete subtrees, the largest first.
func (f *Frontier) Roots() []tlog.Hash { return append([]tlog.Hash(nil), f.roots[:f.depth()]...) }

func (f *Frontier) depth() int { return bits.OnesCount64(uint64(f.size)) } //nolint:gosec // never negative

// Add extends the tree by a record's hash.
func (f *Frontier) Add(leaf tlog.Hash) {
	n := f.depth()
	for range bits.TrailingZeros64(uint64(f.size) + 1) { //nolint:gosec // never negative
		n--
		leaf = tlog.NodeHash(f.roots[n], leaf)
	}
	f.roots[n] = leaf
	f.size++
}

// Root is the root hash of RFC 6962 section 2.1.
func (f *Frontier) Root() tlog.Hash {
	n := f.depth()
	if n == 0 {
		empty, _ := tlog.TreeHash(0, nil) // a constant
		return empty
	}
	h := f.roots[n-1]
	for i := n - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.roots[i], h)
	}
	return h
}

// FrontierIndexes are where the roots of a tree's complete subtrees stand among its
// stored hashes, the largest first (see tlog.StoredHashIndex).
func FrontierIndexes(size int64) []int64 {
	var indexes []int64
	for at := int64(0); at < size; {
		level := bits.Len64(uint64(size-at)) - 1 //nolint:gosec // never negative
		indexes = append(indexes, tlog.StoredHashIndex(level, at>>level))
		at += 1 << level
	}
	return indexes
}

// readFrontier reads the frontier of a tree out of its stored hashes, as text.
func readFrontier(size int64, hashes tlog.HashReader) ([]string, error) {
	roots, err := hashes.ReadHashes(FrontierIndexes(size))
	if err != nil {
		return nil, err
	}
	text := make([]string, len(roots))
	for i, r := range roots {
		text[i] = base64.StdEncoding.EncodeToString(r[:])
	}
	return text, nil
}

// OpenFrontier reads the frontier that stands beside a checkpoint. It is what the
// checkpoint signs, or an error.
func OpenFrontier(c Checkpoint, text []string) (*Frontier, error) {
	f := &Frontier{size: c.Size}
	if len(text) != f.depth() {
		return nil, fmt.Errorf("open frontier: %d subtrees, a tree of %d records has %d", len(text), c.Size, f.depth())
	}
	for i, t := range text {
		h, err := base64.StdEncoding.Strict().DecodeString(t)
		if err != nil || len(h) != tlog.HashSize {
			return nil, errors.New("open frontier: a root is not 32 bytes in base64")
		}
		f.roots[i] = tlog.Hash(h)
	}
	if f.Root() != c.Root {
		return nil, fmt.Errorf("open frontier: %w: it is of another tree", ErrProof)
	}
	return f, nil
}
