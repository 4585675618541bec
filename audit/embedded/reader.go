package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"math"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
)

// Reader reads a log's file without writing it. It is safe for concurrent use,
// and beside a [Log] that writes the same file, of this process or another.
type Reader struct {
	path string
	db   *sql.DB

	batch, find, hash, payload, beside, heads *sql.Stmt

	mu    sync.RWMutex
	names map[int64]string // guarded by mu: of logs by their id
}

const readerConnections = 4

func newReader(ctx context.Context, path, dsn string) (*Reader, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(readerConnections)
	db.SetMaxIdleConns(readerConnections)
	r := &Reader{path: path, db: db, names: map[int64]string{}}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(fileError(path, err), db.Close())
	}
	return r, nil
}

func (r *Reader) prepare(ctx context.Context) error {
	for _, s := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&r.batch, `SELECT seq, log, idx, body FROM records WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?`},
		{&r.find, `SELECT r.seq, r.body FROM records r WHERE r.log = (SELECT id FROM logs WHERE name = ?) AND r.idx = ?`},
		{&r.hash, `SELECT substr(r.hashes, ?, 32) FROM records r WHERE r.log = (SELECT id FROM logs WHERE name = ?) AND r.idx = ?`},
		{&r.payload, `SELECT p.mediatype, p.salt, p.body FROM records r JOIN payloads p ON p.id >= r.seq * ? AND p.id < (r.seq + 1) * ?
			WHERE r.log = (SELECT id FROM logs WHERE name = ?) AND r.idx = ? AND p.name = ?`},
		{&r.beside, `SELECT id, name, mediatype, salt, body FROM payloads WHERE id >= ? AND id < ? ORDER BY id`},
		{&r.heads, `SELECT id / ?, substr(body, 1, ?) FROM payloads WHERE id >= ? AND id < ? AND name = ? AND body IS NOT NULL`},
	} {
		stmt, err := r.db.PrepareContext(ctx, s.query) //nolint:sqlclosecheck // closed with db
		if err != nil {
			return err
		}
		*s.stmt = stmt
	}
	return nil
}

// Close ends all reading. Closing twice is harmless.
func (r *Reader) Close() error {
	if err := r.db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", r.path, err)
	}
	return nil
}

// Read is [audit.Log.Read]: everything that is durable now.
func (r *Reader) Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	end, err := r.end(ctx)
	return func(yield func(audit.Record, error) bool) {
		if err != nil {
			yield(audit.Record{}, err)
			return
		}
		r.read(ctx, from, end, yield)
	}
}

func (r *Reader) read(ctx context.Context, from audit.Cursor, end int64, yield func(audit.Record, error) bool) {
	err := r.batches(ctx, from, end, func(batch []entry) (bool, error) {
		for _, e := range left(batch) {
			if !yield(e.record(), nil) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		yield(audit.Record{}, fmt.Errorf("read log: %w", err))
	}
}

// batches visits the records after a cursor, none of which is missing, until visit says
// that it is enough.
func (r *Reader) batches(ctx context.Context, from audit.Cursor, end int64, visit func([]entry) (bool, error)) error {
	seq, err := startAfter(from, end)
	for err == nil && seq < end {
		var batch []entry
		if batch, err = r.after(ctx, seq, end); err != nil {
			break
		}
		whole := 0
		for whole < len(batch) && batch[whole].seq == seq+1 {
			seq++
			whole++
		}
		if whole == 0 {
			return fmt.Errorf("%w: %s has no record %d", audit.ErrCorrupt, r.path, seq+1)
		}
		more, err := visit(batch[:whole]) // the next batch tells of what is missing
		if err != nil || !more {
			return err
		}
	}
	return err
}

// startAfter is where reading from a cursor begins in a log that ends at end.
func startAfter(from audit.Cursor, end int64) (int64, error) {
	seq, err := parseCursor(from)
	if err == nil && seq > end {
		err = fmt.Errorf("%w: cursor %q is beyond the end of the log", audit.ErrNotFound, from)
	}
	return seq, err
}

func (r *Reader) end(ctx context.Context) (int64, error) {
	var end int64
	err := r.db.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM records`).Scan(&end)
	if err != nil {
		return 0, fileError(r.path, err)
	}
	return end, nil
}

// after reads the next records with seq in (seq, end] in a transaction of its own,
// so that a slow consumer keeps no snapshot open.
func (r *Reader) after(ctx context.Context, seq, end int64) ([]entry, error) {
	rows, err := r.batch.QueryContext(ctx, seq, end, batchRecords)
	if err != nil {
		return nil, fileError(r.path, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var out []entry
	for size := 0; size < batchBytes && rows.Next(); {
		var e entry
		var log int64
		if err := rows.Scan(&e.seq, &log, &e.position.Index, &e.body); err != nil {
			return nil, fileError(r.path, err)
		}
		if e.position.Log, err = r.name(ctx, log); err != nil {
			return nil, err
		}
		size += len(e.body)
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fileError(r.path, err)
	}
	return out, nil
}

func (r *Reader) name(ctx context.Context, log int64) (string, error) {
	r.mu.RLock()
	name, ok := r.names[log]
	r.mu.RUnlock()
	if ok {
		return name, nil
	}
	err := r.db.QueryRowContext(ctx, `SELECT name FROM logs WHERE id = ?`, log).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("%w: %s has records of log %d, which has no name", audit.ErrCorrupt, r.path, log)
	}
	if err != nil {
		return "", fileError(r.path, err)
	}
	r.mu.Lock()
	r.names[log] = name
	r.mu.Unlock()
	return name, nil
}

func (r *Reader) id(ctx context.Context, log string) (int64, error) {
	var id int64
	if err := r.db.QueryRowContext(ctx, `SELECT id FROM logs WHERE name = ?`, log).Scan(&id); err != nil {
		return 0, fileError(r.path, err)
	}
	return id, nil
}

// Record returns the record at p, or [audit.ErrNotFound].
func (r *Reader) Record(ctx context.Context, p audit.Position) (audit.Record, error) {
	e, err := r.at(ctx, p)
	if err != nil {
		return audit.Record{}, fmt.Errorf("read %s: %w", p, err)
	}
	return e.record(), nil
}

func (r *Reader) at(ctx context.Context, p audit.Position) (entry, error) {
	e, err := r.locate(ctx, p)
	if err == nil && e.removed() {
		err = errRemoved
	}
	return e, err
}

// locate is at for records that retention may have removed.
func (r *Reader) locate(ctx context.Context, p audit.Position) (entry, error) {
	e := entry{position: p}
	err := r.find.QueryRowContext(ctx, p.Log, p.Index).Scan(&e.seq, &e.body)
	if errors.Is(err, sql.ErrNoRows) {
		return entry{}, audit.ErrNotFound
	}
	if err != nil {
		return entry{}, fileError(r.path, err)
	}
	return e, nil
}

// Payload is [audit.Payloads.Payload].
func (r *Reader) Payload(ctx context.Context, p audit.Position, name string) (audit.Payload, error) {
	out := audit.Payload{Name: name}
	err := r.payload.QueryRowContext(ctx, audit.MaxPayloads, audit.MaxPayloads, p.Log, p.Index, name).
		Scan(&out.MediaType, &out.Salt, &out.Body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = audit.ErrNotFound
	case err != nil:
		err = fileError(r.path, err)
	case out.Salt == nil:
		err = audit.ErrErased
	}
	if err != nil {
		return audit.Payload{}, fmt.Errorf("read payload %.*q of %s: %w", audit.MaxPayloadName, name, p, err)
	}
	return out, nil
}

// ErasesOnRecord says that no payload goes without an event that says so.
func (r *Reader) ErasesOnRecord() bool { return true }

// Sizes returns how many records each log has, by name.
func (r *Reader) Sizes(ctx context.Context) (map[string]int64, error) {
	sizes := map[string]int64{}
	rows, err := r.db.QueryContext(ctx, `SELECT name, (SELECT coalesce(max(idx), -1) + 1 FROM records WHERE log = logs.id) FROM logs`)
	if err != nil {
		return nil, fmt.Errorf("read sizes: %w", fileError(r.path, err))
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var name string
		var size int64
		if err := rows.Scan(&name, &size); err != nil {
			return nil, fmt.Errorf("read sizes: %w", fileError(r.path, err))
		}
		sizes[name] = size
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read sizes: %w", fileError(r.path, err))
	}
	return sizes, nil
}

// Hashes gives the stored hashes of a log's tree, in the order of package tlog.
// A hash that is not there is [audit.ErrNotFound]. Nothing is checked against
// the records: that is the verifier's work.
func (r *Reader) Hashes(ctx context.Context, log string) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index < 0 || index > math.MaxInt64/4 {
				return nil, fmt.Errorf("read hash %d of %s: %w", index, log, audit.ErrNotFound)
			}
			record, level := holder(index)
			var b []byte
			err := r.hash.QueryRowContext(ctx, 1+level*tlog.HashSize, log, record).Scan(&b)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				err = audit.ErrNotFound
			case err != nil:
				err = fileError(r.path, err)
			case len(b) != tlog.HashSize:
				err = fmt.Errorf("%w: %s: record %d holds no hash of level %d", audit.ErrCorrupt, r.path, record, level)
			}
			if err != nil {
				return nil, fmt.Errorf("read hash %d of %s: %w", index, log, err)
			}
			copy(out[i][:], b)
		}
		return out, nil
	})
}
