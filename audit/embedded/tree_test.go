package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
)

// reader is what a writer and a read-only log have in common.
type reader interface {
	audit.Payloads
	seal.Trees
	Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error]
}

// memoryTree is a tree by the book: all stored hashes in a slice.
type memoryTree struct {
	size   int64
	hashes []tlog.Hash
}

func (m *memoryTree) add(t failer, stored []byte) {
	hashes, err := tlog.StoredHashes(m.size, stored, m)
	if err != nil {
		t.Fatalf("hash record %d: %v", m.size, err)
	}
	m.hashes = append(m.hashes, hashes...)
	m.size++
}

// ReadHashes makes the tree a tlog.HashReader.
func (m *memoryTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(m.hashes)) {
			return nil, fmt.Errorf("there is no hash %d", index)
		}
		out[i] = m.hashes[index]
	}
	return out, nil
}

type failer interface{ Fatalf(string, ...any) }

// The tree in the file is the tree of the records, stored hash by stored hash, and
// stays so when the log is closed and opened in between.
func TestTreeIsThatOfTheRecords(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir := filepath.Join(t.TempDir(), "log")
		trees := map[string]*memoryTree{}
		for range rapid.IntRange(1, 3).Draw(rt, "openings") {
			l, err := embedded.Open(t.Context(), dir, small)
			if err != nil {
				rt.Fatalf("open: %v", err)
			}
			growTrees(t.Context(), rt, l, trees)
			compareTrees(t.Context(), rt, l, trees)
			if err := l.Close(); err != nil {
				rt.Fatalf("close: %v", err)
			}
		}
	})
}

func growTrees(ctx context.Context, rt *rapid.T, l *embedded.Log, trees map[string]*memoryTree) {
	for _, domain := range rapid.SliceOfN(rapid.SampledFrom([]string{"payments", "source", "deed"}), 0, 40).Draw(rt, "domains") {
		e := audittest.Denied(audittest.NewID())
		e.Domain = domain
		p, err := l.Append(ctx, e)
		if err != nil {
			rt.Fatalf("append: %v", err)
		}
		r, err := l.Record(ctx, p)
		if err != nil {
			rt.Fatalf("record %s: %v", p, err)
		}
		if trees[p.Log] == nil {
			trees[p.Log] = &memoryTree{}
		}
		trees[p.Log].add(rt, r.Stored)
	}
}

func compareTrees(ctx context.Context, rt *rapid.T, l *embedded.Log, trees map[string]*memoryTree) {
	for name, tree := range trees {
		indexes := make([]int64, len(tree.hashes))
		for i := range indexes {
			indexes[i] = int64(i)
		}
		got, err := l.Hashes(ctx, name).ReadHashes(indexes)
		if err != nil {
			rt.Fatalf("hashes of %s: %v", name, err)
		}
		for i := range got {
			if got[i] != tree.hashes[i] {
				rt.Fatalf("hash %d of %s is %s, want %s", i, name, got[i], tree.hashes[i])
			}
		}
		if _, err := l.Hashes(ctx, name).ReadHashes([]int64{int64(len(got))}); !errors.Is(err, audit.ErrNotFound) {
			rt.Fatalf("a hash beyond the tree: %v, want ErrNotFound", err)
		}
	}
}
