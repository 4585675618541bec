package embedded

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/internal/direct"
)

// Bounds of one transaction.
const (
	maxBatch      = 1024
	maxBatchBytes = 32 << 20
	maxYields     = 3 // to those who are about to append, while it is collected
)

// writer owns the connection that writes and all that only it may know.
type writer struct {
	log    *Log
	conn   *direct.Conn
	keeper *keeper
	space  space

	begin, commit, rollback        *direct.Stmt
	addRecord, addPayload, addName *direct.Stmt
	erasePayload, eraseRange       *direct.Stmt
	dropRange, removeRange         *direct.Stmt
	truncate, passive              *direct.Stmt

	trees map[string]*tree
	seq   int64 // of the newest durable record

	batch   []*request
	entries []entry
	touched []*tree
	residue bool // erased bytes may still stand in the write-ahead log
}

// tree is one log's place in the file. What a transaction adds is staged, and
// becomes the tree's frontier when it is durable.
type tree struct {
	id       int64
	frontier frontier
	staged   frontier
	isStaged bool
	isNew    bool
}

func newWriter(ctx context.Context, l *Log, c *direct.Conn, k *keeper, last int64) (*writer, error) {
	w := &writer{log: l, conn: c, keeper: k, trees: map[string]*tree{}, seq: last}
	for _, s := range []struct {
		to    **direct.Stmt
		query string
	}{
		{&w.begin, `BEGIN IMMEDIATE`},
		{&w.commit, `COMMIT`},
		{&w.rollback, `ROLLBACK`},
		{&w.addRecord, `INSERT INTO records (seq, log, idx, body, hashes) VALUES (?, ?, ?, ?, ?)`},
		{&w.addPayload, `INSERT INTO payloads (id, name, mediatype, salt, body) VALUES (?, ?, ?, ?, ?)`},
		{&w.addName, `INSERT INTO logs (id, name) VALUES (?, ?)`},
		{&w.erasePayload, `UPDATE payloads SET salt = NULL, body = NULL WHERE id >= ? AND id < ? AND name = ?`},
		{&w.eraseRange, `UPDATE payloads SET salt = NULL, body = NULL WHERE id IN (SELECT p.id FROM records r
			CROSS JOIN payloads p ON p.id >= r.seq * ? AND p.id < (r.seq + 1) * ? WHERE r.log = ? AND r.idx >= ? AND r.idx < ?)`},
		{&w.dropRange, `DELETE FROM payloads WHERE id IN (SELECT p.id FROM records r
			CROSS JOIN payloads p ON p.id >= r.seq * ? AND p.id < (r.seq + 1) * ? WHERE r.log = ? AND r.idx >= ? AND r.idx < ?)`},
		{&w.removeRange, `UPDATE records SET body = x'' WHERE log = ? AND idx >= ? AND idx < ?`},
		{&w.truncate, `PRAGMA wal_checkpoint(TRUNCATE)`},
		{&w.passive, `PRAGMA wal_checkpoint(PASSIVE)`},
	} {
		stmt, err := c.Prepare(ctx, s.query)
		if err != nil {
			return nil, fileError(l.path, err)
		}
		*s.to = stmt
	}
	if err := w.load(ctx, last); err != nil {
		return nil, err
	}
	var err error
	w.space, err = openSpace(ctx, l, c)
	return w, err
}

// load reads the trees' frontiers and checks the newest record of each.
func (w *writer) load(ctx context.Context, last int64) error {
	sizes, err := w.log.read.Sizes(ctx)
	if err != nil {
		return err
	}
	total := int64(0)
	for name, size := range sizes {
		t := &tree{}
		if t.id, err = w.log.read.id(ctx, name); err != nil {
			return err
		}
		if t.frontier, err = loadFrontier(size, w.log.read.Hashes(ctx, name)); err != nil {
			return fmt.Errorf("%w: %s: tree of %s: %w", audit.ErrCorrupt, w.log.path, name, err)
		}
		if err := w.checkNewest(ctx, audit.Position{Log: name, Index: size - 1}); err != nil {
			return err
		}
		w.trees[name] = t
		total += size
	}
	if total != last {
		return fmt.Errorf("%w: %s counts %d records, its logs hold %d", audit.ErrCorrupt, w.log.path, last, total)
	}
	w.log.sizes = sizes
	return nil
}

func (w *writer) checkNewest(ctx context.Context, p audit.Position) error {
	if p.Index < 0 {
		return fmt.Errorf("%w: %s: log %s has no records", audit.ErrCorrupt, w.log.path, p.Log)
	}
	e, err := w.log.read.locate(ctx, p)
	if err != nil || e.removed() {
		return err
	}
	hashes, err := w.log.read.Hashes(ctx, p.Log).ReadHashes([]int64{tlog.StoredHashIndex(0, p.Index)})
	if err != nil {
		return err
	}
	if hashes[0] != tlog.RecordHash(e.body) {
		return fmt.Errorf("%w: %s: record %s does not have its hash", audit.ErrCorrupt, w.log.path, p)
	}
	return nil
}

// run stores what is appended until the log is closed and the queue is empty.
func (w *writer) run() {
	defer close(w.log.stopped)
	var retry <-chan time.Time
	for {
		if retry == nil && (w.log.full.Load() || w.residue) {
			retry = time.After(housekeeping)
		}
		select {
		case r := <-w.log.queue:
			w.collect(r)
			w.process()
		case e := <-w.log.erasures:
			e.done <- w.erase(e)
		case <-retry:
			retry = nil
			w.tidy()
		case <-w.log.closing:
			w.drain()
			return
		}
	}
}

// housekeeping is how often a full log looks for space, and one with erased bytes
// in its write-ahead log tries to be rid of them.
const housekeeping = time.Second

func (w *writer) tidy() {
	if w.log.full.Load() {
		w.space.restore()
	}
	if w.residue {
		err := w.fold(w.truncate)
		w.residue = err != nil
		w.checkFold(err)
	}
}

func (w *writer) drain() {
	for {
		select {
		case r := <-w.log.queue:
			w.collect(r)
			w.process()
		default:
			return
		}
	}
}

// collect takes r and whatever else is waiting. It lets those run first whom the last
// commit woke: they are about to append, and would miss this batch by a hair. As long
// as that brings more it does so again, for a commit costs more than all of them.
func (w *writer) collect(r *request) {
	runtime.Gosched()
	w.batch = w.batch[:0]
	yields, before := 0, 0
	size := int64(0)
	for {
		if r.state.CompareAndSwap(waiting, taken) {
			w.batch = append(w.batch, r)
			size += r.size
		}
		if len(w.batch) >= maxBatch || size >= maxBatchBytes {
			return
		}
		if len(w.log.queue) == 0 && yields < maxYields && len(w.batch) > before {
			yields, before = yields+1, len(w.batch)
			runtime.Gosched()
		}
		select {
		case r = <-w.log.queue:
		default:
			return
		}
	}
}

// process stores the batch and answers everyone in it.
func (w *writer) process() {
	if broken := w.log.broken.Load(); broken != nil {
		answer(w.batch, *broken)
		return
	}
	w.admit()
	err := w.store(w.batch)
	if isFull(err) && w.space.release() {
		w.admit()
		err = w.store(w.batch)
	}
	if isFull(err) && len(w.batch) > 1 {
		w.storeEach()
		return
	}
	w.settle(w.batch, err)
}

// admit refuses, while the log is full, what may not use the reserve.
func (w *writer) admit() {
	if !w.log.full.Load() {
		return
	}
	kept := w.batch[:0]
	for _, r := range w.batch {
		if mayUseReserve(r.kind) {
			kept = append(kept, r)
		} else {
			answer([]*request{r}, fmt.Errorf("%w: new calls are refused until there is", audit.ErrFull))
		}
	}
	w.batch = kept
}

// storeEach gives every event a chance of its own when there is no room for all.
func (w *writer) storeEach() {
	for i := range w.batch {
		one := w.batch[i : i+1]
		if broken := w.log.broken.Load(); broken != nil {
			answer(one, *broken)
			continue
		}
		w.settle(one, w.store(one))
	}
}

func (w *writer) settle(batch []*request, err error) {
	if len(batch) == 0 {
		return
	}
	switch {
	case err == nil:
		w.publish(batch)
		answer(batch, nil)
		w.keeper.committed(w)
	case isFull(err):
		answer(batch, fileError(w.log.path, err))
	default:
		answer(batch, err)
	}
}

func answer(batch []*request, err error) {
	for _, r := range batch {
		r.err = err
		close(r.done)
	}
}

// store commits the batch, or leaves the log as it was. An error that is neither
// isFull nor a foreign lock poisons the log; after a failed commit it is
// audit.ErrUncertain, since the file may hold the batch.
func (w *writer) store(batch []*request) error {
	if len(batch) == 0 {
		return nil
	}
	if err := w.begin.Run(); err != nil {
		return w.abort(batch, err)
	}
	for i, r := range batch {
		if err := w.insert(r, w.seq+int64(i)+1); err != nil {
			return w.abort(batch, err)
		}
	}
	began := time.Now()
	if err := w.commit.Run(); err != nil {
		if isFull(err) || isBusy(err) {
			return w.abort(batch, err)
		}
		w.forget()
		w.log.poison(err)
		return fmt.Errorf("%w: commit failed: %w", audit.ErrUncertain, err)
	}
	w.log.count.lastSync.Store(int64(time.Since(began)))
	w.log.count.batches.Add(1)
	return nil
}

// abort undoes a transaction that was not committed. SQLite may have undone it
// already, which makes the rollback fail without harm; the log is poisoned unless
// the cause is one that passes.
func (w *writer) abort(_ []*request, cause error) error {
	w.forget()
	if err := w.rollback.Run(); err != nil && direct.Code(err) != 1 { // 1: no transaction is active
		w.log.poison(err)
	}
	switch {
	case isFull(cause):
		return cause
	case isBusy(cause):
	default:
		w.log.poison(cause)
	}
	return fileError(w.log.path, cause)
}

func (w *writer) insert(r *request, seq int64) error {
	t, err := w.stage(r.log)
	if err != nil {
		return err
	}
	r.seq = seq
	r.pos = audit.Position{Log: r.log, Index: t.staged.size}
	hashes := t.staged.add(r.leaf)
	if err := w.addRecord.Run(seq, t.id, r.pos.Index, r.body, hashes); err != nil {
		return err
	}
	for n, p := range r.payloads {
		body := p.Body
		if body == nil {
			body = []byte{}
		}
		if err := w.addPayload.Run(payloadID(seq, n), p.Name, p.MediaType, p.Salt, body); err != nil {
			return err
		}
	}
	return nil
}

// stage returns the log's tree, ready to grow within this transaction.
func (w *writer) stage(name string) (*tree, error) {
	t := w.trees[name]
	if t == nil {
		t = &tree{id: int64(len(w.trees)) + 1, isNew: true}
		if err := w.addName.Run(t.id, name); err != nil {
			return nil, err
		}
		w.trees[name] = t
	}
	if !t.isStaged {
		t.staged, t.isStaged = t.frontier, true
		w.touched = append(w.touched, t)
	}
	return t, nil
}

// forget drops what was staged.
func (w *writer) forget() {
	for _, t := range w.touched {
		t.isStaged = false
	}
	w.touched = w.touched[:0]
	for name, t := range w.trees {
		if t.isNew {
			delete(w.trees, name)
		}
	}
}

// publish makes what was committed visible to readers.
func (w *writer) publish(batch []*request) {
	w.entries = w.entries[:0]
	quiet := true
	w.log.mu.Lock()
	for _, r := range batch {
		quiet = quiet && r.quiet
		w.entries = append(w.entries, entry{seq: r.seq, position: r.pos, body: r.body})
		w.log.sizes[r.pos.Log] = r.pos.Index + 1
		w.log.count.bytes.Add(r.size)
	}
	w.log.mu.Unlock()
	for _, t := range w.touched {
		t.frontier, t.isStaged, t.isNew = t.staged, false, false
	}
	w.touched = w.touched[:0]
	w.seq += int64(len(batch))
	w.log.count.appends.Add(int64(len(batch)))
	w.log.tail.add(w.entries, quiet)
	clear(w.entries)
}

// finish folds the write-ahead log into the file and closes the connection. The
// readers must be closed by then.
func (w *writer) finish() error {
	var err error
	if w.log.broken.Load() == nil {
		// What cannot be folded now, for want of room or because somebody reads it,
		// is as durable where it stands.
		if err = w.fold(w.truncate); passes(err) {
			err = nil
		}
	}
	if err = errors.Join(err, w.conn.Close()); err != nil {
		return fileError(w.log.path, err)
	}
	return nil
}
