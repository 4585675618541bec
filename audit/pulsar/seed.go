package pulsar

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// seed fills in what a frontier tells of a tree whose first records were gone before
// they could be read, and makes the hashes that follow from it. Without that a record's
// hash is known, and not that of any subtree that reaches back to what is missing.
func (t *tree) seed(f *seal.Frontier) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.Size() > t.size {
		return fmt.Errorf("%w: %d records, the frontier is of %d", audit.ErrNotFound, t.size, f.Size())
	}
	if err := t.flushLocked(); err != nil {
		return err
	}
	roots := f.Roots()
	for i, index := range seal.FrontierIndexes(f.Size()) {
		if err := t.put(index, roots[i]); err != nil {
			return err
		}
	}
	for n := f.Size(); n < t.size; n++ {
		leaf, err := t.read([]int64{tlog.StoredHashIndex(0, n)})
		if err != nil {
			return err
		}
		hashes, err := tlog.StoredHashesForRecordHash(n, leaf[0], tlog.HashReaderFunc(t.read))
		if err != nil {
			return err
		}
		for level, h := range hashes {
			if err := t.put(tlog.StoredHashIndex(level, n>>level), h); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tree) put(index int64, h tlog.Hash) error {
	if _, err := t.hashes.WriteAt(h[:], index*tlog.HashSize); err != nil {
		return fmt.Errorf("extend tree: %w", err)
	}
	return nil
}

// first is the index of the first record that is known.
func (t *tree) first() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.known) == 0 {
		return 0
	}
	return t.known[0].Index
}
