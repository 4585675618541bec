package embedded

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// frontier is what a tree needs to grow: the roots of its complete subtrees, the
// largest first, one for each bit that is set in size.
type frontier struct {
	size  int64
	roots [63]tlog.Hash
}

func (f *frontier) depth() int { return bits.OnesCount64(uint64(f.size)) } //nolint:gosec // never negative

// add grows the tree by a leaf and returns the hashes that the leaf completes,
// as tlog stores them, concatenated.
func (f *frontier) add(leaf tlog.Hash) []byte {
	filled := bits.TrailingZeros64(uint64(f.size) + 1) //nolint:gosec // never negative
	stored := make([]byte, 0, (filled+1)*tlog.HashSize)
	stored = append(stored, leaf[:]...)
	n := f.depth()
	for range filled {
		n--
		leaf = tlog.NodeHash(f.roots[n], leaf)
		stored = append(stored, leaf[:]...)
	}
	f.roots[n] = leaf
	f.size++
	return stored
}

// loadFrontier reads the frontier of a tree of this size.
func loadFrontier(size int64, r tlog.HashReader) (frontier, error) {
	f := frontier{size: size}
	var indexes []int64
	for level, start := 62, int64(0); level >= 0; level-- {
		if size&(1<<level) != 0 {
			indexes = append(indexes, tlog.StoredHashIndex(level, start>>level))
			start += 1 << level
		}
	}
	hashes, err := r.ReadHashes(indexes)
	if err != nil {
		return frontier{}, fmt.Errorf("read frontier of %d records: %w", size, err)
	}
	copy(f.roots[:], hashes)
	return f, nil
}

// holder is the record whose row holds the stored hash with this index, and where
// in the row it stands.
func holder(index int64) (record int64, level int) {
	level, n := tlog.SplitStoredHashIndex(index)
	return (n+1)<<level - 1, level
}
