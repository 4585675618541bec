package embedded

import (
	"context"
	"fmt"

	"github.com/deedbroker/deed/audit"
)

// PayloadHeads returns how the payloads called name begin, at most size bytes of each,
// of the records after one cursor up to another, by the cursor after their record.
// Those that were erased are left out. It is for readers of many.
func (r *Reader) PayloadHeads(ctx context.Context, after, upTo audit.Cursor, name string, size int) (map[audit.Cursor][]byte, error) {
	heads, err := r.payloadHeads(ctx, after, upTo, name, size)
	if err != nil {
		return nil, fmt.Errorf("read payloads: %w", err)
	}
	return heads, nil
}

func (r *Reader) payloadHeads(ctx context.Context, after, upTo audit.Cursor, name string, size int) (map[audit.Cursor][]byte, error) {
	first, err := parseCursor(after)
	if err != nil {
		return nil, err
	}
	last, err := parseCursor(upTo)
	if err != nil {
		return nil, err
	}
	rows, err := r.heads.QueryContext(ctx, audit.MaxPayloads, size, payloadID(first+1, 0), payloadID(last+1, 0), name)
	if err != nil {
		return nil, fileError(r.path, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	heads := map[audit.Cursor][]byte{}
	for rows.Next() {
		var seq int64
		var body []byte
		if err := rows.Scan(&seq, &body); err != nil {
			return nil, fileError(r.path, err)
		}
		heads[cursorAfter(seq)] = body
	}
	if err := rows.Err(); err != nil {
		return nil, fileError(r.path, err)
	}
	return heads, nil
}

// PayloadHeads is [Reader.PayloadHeads].
func (l *Log) PayloadHeads(ctx context.Context, after, upTo audit.Cursor, name string, size int) (map[audit.Cursor][]byte, error) {
	return l.read.PayloadHeads(ctx, after, upTo, name, size)
}
