package pulsar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
)

// tree is the Merkle tree of one partition, on disk: its hashes in the order of
// tlog.StoredHashIndex, and where the messages of its records stand. It is not
// synced: what a crash tears is cut off and read from the topic again.
//
// A hash of zeros is one that is not known: retention had removed the record before
// this replica could read it.
type tree struct {
	mu     sync.RWMutex
	hashes *os.File // guarded by mu, as is all that follows
	runs   *os.File
	size   int64  // records
	buffer []byte // hashes that are not in the file yet
	filed  int64  // bytes that are
	known  []stretch
}

// stretch is a row of records whose messages stand one after the other.
type stretch struct {
	Index  int64 `json:"index"` // of the first
	Ledger int64 `json:"ledger"`
	Entry  int64 `json:"entry"`
}

const (
	hashesFile = "hashes"
	runsFile   = "messages"
	flushBytes = 64 << 10
)

var errUnknownHash = fmt.Errorf("%w: retention removed records before this replica read them", audit.ErrNotFound)

func openTree(dir string) (*tree, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open tree: %w", err)
	}
	t := &tree{}
	var err error
	if t.hashes, err = os.OpenFile(filepath.Join(dir, hashesFile), os.O_CREATE|os.O_RDWR, 0o600); err != nil { //nolint:gosec // below the log's own directory
		return nil, fmt.Errorf("open tree: %w", err)
	}
	if t.runs, err = os.OpenFile(filepath.Join(dir, runsFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil { //nolint:gosec // below the log's own directory
		return nil, errors.Join(fmt.Errorf("open tree: %w", err), t.hashes.Close())
	}
	if err := t.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open tree: %w", err), t.close())
	}
	return t, nil
}

// load finds how many records the files have, and cuts off what a crash tore.
func (t *tree) load() error {
	text, err := io.ReadAll(t.runs)
	if err != nil {
		return err
	}
	whole := 0
	for line := range bytes.Lines(text) {
		var s stretch
		if !bytes.HasSuffix(line, []byte("\n")) || json.Unmarshal(line, &s) != nil {
			break
		}
		t.known = append(t.known, s)
		whole += len(line)
	}
	info, err := t.hashes.Stat()
	if err != nil {
		return err
	}
	stored := info.Size() / tlog.HashSize
	t.size = int64(sort.Search(int(stored)+1, func(n int) bool { return tlog.StoredHashCount(int64(n)) > stored })) - 1
	if len(t.known) == 0 {
		t.size = 0
	}
	for len(t.known) > 0 && t.known[len(t.known)-1].Index >= t.size { // written before its first hash
		t.known = t.known[:len(t.known)-1]
	}
	if len(t.known) == 0 {
		t.size = 0
	}
	t.filed = tlog.StoredHashCount(t.size) * tlog.HashSize
	return errors.Join(t.hashes.Truncate(t.filed), t.rewriteRuns())
}

func (t *tree) rewriteRuns() error {
	var text []byte
	for _, s := range t.known {
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		text = append(append(text, line...), '\n')
	}
	if err := t.runs.Truncate(0); err != nil {
		return err
	}
	_, err := t.runs.Write(text)
	return err
}

// reset forgets everything: the topic is not the one that the files are of.
func (t *tree) reset() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size, t.buffer, t.filed, t.known = 0, nil, 0, nil
	return errors.Join(t.hashes.Truncate(0), t.runs.Truncate(0))
}

// end is where the last record stands.
func (t *tree) end() (mark, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.size == 0 {
		return mark{}, false
	}
	id, _ := t.find(t.size - 1)
	return mark{id: id, index: t.size - 1}, true
}

// add extends the tree by the record with this index, which is size or, where records
// are missing, more.
func (t *tree) add(index int64, id messageID, leaf tlog.Hash) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if index < t.size {
		return fmt.Errorf("%w: index %d comes again, after %d", audit.ErrCorrupt, index, t.size-1)
	}
	if last, ok := t.find(t.size - 1); !ok || index != t.size || id.ledger != last.ledger || id.entry != last.entry+1 {
		if err := t.begin(stretch{Index: index, Ledger: id.ledger, Entry: id.entry}); err != nil {
			return err
		}
	}
	if index > t.size {
		if err := t.skip(index); err != nil {
			return err
		}
	}
	hashes, err := tlog.StoredHashesForRecordHash(index, leaf, tlog.HashReaderFunc(t.read))
	if err != nil {
		return err
	}
	unknown := false
	for level, h := range hashes {
		if level > 0 && !unknown {
			if unknown, err = t.isUnknown(tlog.StoredHashIndex(level-1, index>>(level-1)-1)); err != nil {
				return err
			}
		}
		if unknown {
			h = tlog.Hash{}
		}
		t.buffer = append(t.buffer, h[:]...)
	}
	t.size++
	if len(t.buffer) >= flushBytes {
		return t.flushLocked()
	}
	return nil
}

func (t *tree) isUnknown(index int64) (bool, error) {
	h, err := t.read([]int64{index})
	return err == nil && h[0] == (tlog.Hash{}), err
}

func (t *tree) begin(s stretch) error {
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := t.runs.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("extend tree: %w", err)
	}
	t.known = append(t.known, s)
	return nil
}

// skip leaves room, in the file a hole, for records that are not known.
func (t *tree) skip(to int64) error {
	if err := t.flushLocked(); err != nil {
		return err
	}
	t.filed = tlog.StoredHashCount(to) * tlog.HashSize
	if err := t.hashes.Truncate(t.filed); err != nil {
		return fmt.Errorf("extend tree: %w", err)
	}
	t.size = to
	return nil
}

func (t *tree) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flushLocked()
}

func (t *tree) flushLocked() error {
	if len(t.buffer) == 0 {
		return nil
	}
	if _, err := t.hashes.WriteAt(t.buffer, t.filed); err != nil {
		return fmt.Errorf("extend tree: %w", err)
	}
	t.filed += int64(len(t.buffer))
	t.buffer = t.buffer[:0]
	return nil
}

// read reads stored hashes, unknown ones as zeros. Call it with mu held.
func (t *tree) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		at := index * tlog.HashSize
		switch {
		case at < 0, at+tlog.HashSize > t.filed+int64(len(t.buffer)):
			return nil, fmt.Errorf("%w: hash %d", audit.ErrNotFound, index)
		case at >= t.filed:
			copy(out[i][:], t.buffer[at-t.filed:])
		default:
			if _, err := t.hashes.ReadAt(out[i][:], at); err != nil {
				return nil, fmt.Errorf("read tree: %w", err)
			}
		}
	}
	return out, nil
}

// ReadHashes is that of a tlog.HashReader.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	hashes, err := t.read(indexes)
	if err != nil {
		return nil, err
	}
	if slices.Contains(hashes, tlog.Hash{}) {
		return nil, errUnknownHash
	}
	return hashes, nil
}

func (t *tree) leaf(index int64) (tlog.Hash, error) {
	h, err := t.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
	if err != nil {
		return tlog.Hash{}, err
	}
	return h[0], nil
}

// where is the message of a record.
func (t *tree) where(index int64) (messageID, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.find(index)
}

func (t *tree) find(index int64) (messageID, bool) {
	if index < 0 || index >= t.size {
		return messageID{}, false
	}
	n := sort.Search(len(t.known), func(i int) bool { return t.known[i].Index > index }) - 1
	if n < 0 {
		return messageID{}, false
	}
	s := t.known[n]
	return messageID{s.Ledger, s.Entry + index - s.Index}, true
}

// indexOf is the index of the record that a message holds, if the stretch in which it
// stands is known.
func (t *tree) indexOf(id messageID) (int64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, s := range slices.Backward(t.known) {
		if s.Ledger == id.ledger && s.Entry <= id.entry {
			return s.Index + id.entry - s.Entry, true
		}
	}
	return 0, false
}

func (t *tree) count() int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.size
}

func (t *tree) close() error {
	err := t.flush()
	return errors.Join(err, t.hashes.Close(), t.runs.Close())
}
