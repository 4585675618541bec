package verify

import (
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is what a Merkle tree needs to grow: the roots of its complete subtrees,
// the largest first.
type tree struct {
	size  int64
	roots [63]tlog.Hash
}

func (t *tree) depth() int { return bits.OnesCount64(uint64(t.size)) } //nolint:gosec // never negative

func (t *tree) add(leaf tlog.Hash) {
	n := t.depth()
	for range bits.TrailingZeros64(uint64(t.size) + 1) { //nolint:gosec // never negative
		n--
		leaf = tlog.NodeHash(t.roots[n], leaf)
	}
	t.roots[n] = leaf
	t.size++
}

// root is the root hash of RFC 6962 section 2.1.
func (t *tree) root() tlog.Hash {
	n := t.depth()
	if n == 0 {
		empty, _ := tlog.TreeHash(0, nil) // a constant
		return empty
	}
	h := t.roots[n-1]
	for i := n - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.roots[i], h)
	}
	return h
}
