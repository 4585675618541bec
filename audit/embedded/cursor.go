package embedded

import (
	"fmt"
	"strconv"

	"github.com/deedbroker/deed/audit"
)

// A cursor is the seq of the record before it, to base 36 after an "e", which
// tells it from the cursors of other engines.
func cursorAfter(seq int64) audit.Cursor {
	var buf [16]byte
	return audit.Cursor(strconv.AppendInt(append(buf[:0], 'e'), seq, 36))
}

func parseCursor(c audit.Cursor) (int64, error) {
	if c == "" {
		return 0, nil
	}
	if c[0] != 'e' || len(c) > 15 {
		return 0, fmt.Errorf("%w: cursor %.20q is not one of this log", audit.ErrNotFound, string(c))
	}
	seq, err := strconv.ParseInt(string(c[1:]), 36, 64)
	if err != nil || seq < 1 || cursorAfter(seq) != c {
		return 0, fmt.Errorf("%w: cursor %.20q is not one of this log", audit.ErrNotFound, string(c))
	}
	return seq, nil
}
