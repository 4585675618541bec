package pulsar

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
)

func TestAGrownTreeMakesTheKeysOfItsTree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		leaf := rapid.Custom(func(t *rapid.T) string {
			return leafPath(rapid.OneOf(rapid.Int64Range(0, 40), rapid.Int64Range(0, 1<<keyDepth-1)).Draw(t, "leaf"))
		})
		tree := newKeyTree()
		for _, gone := range rapid.SliceOfN(leaf, 0, 4).Draw(t, "erased") {
			tree = tree.without(gone)
		}
		g := grow(tree)
		for _, path := range rapid.SliceOf(leaf).Draw(t, "asked for") {
			want, wantErr := tree.key(path)
			got, err := g.key(path)
			if !bytes.Equal(got, want) || !errors.Is(err, wantErr) {
				t.Fatalf("key %s is %x, %v, want %x, %v", path, got, err, want, wantErr)
			}
			if err != nil && !errors.Is(err, audit.ErrErased) {
				t.Fatal(err)
			}
		}
	})
}
