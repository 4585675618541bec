package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"github.com/deedbroker/deed/audit"
)

// ReadBeside is [Reader.Read] with the payloads of each record. One record's are in memory
// at a time.
func (r *Reader) ReadBeside(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Attached, error] {
	end, err := r.end(ctx)
	return func(yield func(audit.Attached, error) bool) {
		if err == nil {
			err = r.batches(ctx, from, end, func(batch []entry) (bool, error) { return r.attach(ctx, batch, yield) })
		}
		if err != nil {
			yield(audit.Attached{}, fmt.Errorf("read log: %w", err))
		}
	}
}

// attach yields a batch of records, whose payloads are neighbours too.
func (r *Reader) attach(ctx context.Context, batch []entry, yield func(audit.Attached, error) bool) (_ bool, err error) {
	rows, err := r.beside.QueryContext(ctx, payloadID(batch[0].seq, 0), payloadID(batch[len(batch)-1].seq+1, 0))
	if err != nil {
		return false, fileError(r.path, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	next := neighbours{rows: rows}
	for _, e := range left(batch) {
		a := audit.Attached{Record: e.record()}
		if a.Payloads, err = next.of(e.seq); err != nil {
			return false, fileError(r.path, err)
		}
		if !yield(a, nil) {
			return false, nil
		}
	}
	return true, rows.Err()
}

// neighbours are rows of payloads in the order of their records.
type neighbours struct {
	rows    *sql.Rows
	id      int64 // of the payload that was read and belongs to a later record; 0 for none
	payload audit.Payload
}

// of takes the payloads of a record.
func (n *neighbours) of(seq int64) ([]audit.Payload, error) {
	var out []audit.Payload
	for {
		if n.id == 0 {
			if !n.rows.Next() {
				return out, n.rows.Err()
			}
			n.payload = audit.Payload{}
			if err := n.rows.Scan(&n.id, &n.payload.Name, &n.payload.MediaType, &n.payload.Salt, &n.payload.Body); err != nil {
				return nil, err
			}
		}
		switch of := n.id / audit.MaxPayloads; {
		case of > seq:
			return out, nil
		case of == seq:
			out = append(out, n.payload)
		}
		n.id = 0
	}
}
