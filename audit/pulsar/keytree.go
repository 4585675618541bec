package pulsar

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
)

// keyDepth is the height of a tree of keys: it has keys for 2^keyDepth payloads.
const keyDepth = 24

// keyTree makes a key for each of many payloads from few secrets: each node's children
// follow from it, and nothing follows about it from them. Whole, it is its root; with
// keys erased, it is the nodes below which none is.
type keyTree struct {
	ID    string    `json:"id"`
	Nodes []keyNode `json:"nodes"`
}

// keyNode is a node, by its path from the root (a text of zeros and ones).
type keyNode struct {
	Path   string `json:"path"`
	Secret []byte `json:"secret"`
}

const secretBytes = sha256.Size

func newKeyTree() keyTree {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	return keyTree{ID: uuid.NewString(), Nodes: []keyNode{{Secret: secret}}}
}

func parseKeyTree(text []byte) (keyTree, error) {
	var t keyTree
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("parse keys: %w", err)
	}
	for i, n := range t.Nodes {
		if len(n.Path) > keyDepth || len(n.Secret) != secretBytes || strings.Trim(n.Path, "01") != "" {
			return t, fmt.Errorf("parse keys: node %d is malformed", i)
		}
	}
	if t.ID == "" {
		return t, errors.New("parse keys: they have no id")
	}
	return t, nil
}

// leafPath is the path of the n-th key.
func leafPath(n int64) string { return fmt.Sprintf("%0*b", keyDepth, n) }

// key returns the key of the payload at a leaf, or [audit.ErrErased].
func (t keyTree) key(path string) ([]byte, error) {
	n, some := t.above(path)
	if !some {
		return nil, audit.ErrErased
	}
	secret := n.Secret
	for i := len(n.Path); i < len(path); i++ {
		secret = child(secret, path[i])
	}
	return secret, nil
}

// above is the node from which a key can be made.
func (t keyTree) above(path string) (keyNode, bool) {
	for _, n := range t.Nodes {
		if strings.HasPrefix(path, n.Path) {
			return n, true
		}
	}
	return keyNode{}, false
}

func child(secret []byte, bit byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte{bit})
	return h.Sum(nil)
}

// without returns the tree from which the key at path cannot be made any more: instead
// of the node above it, the siblings on the way down from there.
func (t keyTree) without(path string) keyTree {
	left := keyTree{ID: t.ID}
	for _, n := range t.Nodes {
		rest, below := strings.CutPrefix(path, n.Path)
		if !below {
			left.Nodes = append(left.Nodes, n)
			continue
		}
		at, secret := n.Path, n.Secret
		for i := range len(rest) {
			other := rest[i] ^ 1 // '0' and '1' differ in their last bit
			left.Nodes = append(left.Nodes, keyNode{Path: at + string(other), Secret: child(secret, other)})
			at, secret = at+rest[i:i+1], child(secret, rest[i])
		}
	}
	return left
}

// common returns the tree that makes the keys that both make: what one of them has
// lost is erased.
func (t keyTree) common(other keyTree) keyTree {
	both := keyTree{ID: t.ID}
	for _, n := range slices.Concat(t.Nodes, other.Nodes) {
		if t.covers(n.Path) && other.covers(n.Path) && !both.covers(n.Path) {
			both.Nodes = append(both.Nodes, n)
		}
	}
	return both
}

// covers reports whether all keys below path can be made.
func (t keyTree) covers(path string) bool {
	return slices.ContainsFunc(t.Nodes, func(n keyNode) bool { return strings.HasPrefix(path, n.Path) })
}
