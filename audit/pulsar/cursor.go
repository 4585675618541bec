package pulsar

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/deedbroker/deed/audit"
)

// messageID is where a message stands in its partition.
type messageID struct{ ledger, entry int64 }

func (id messageID) String() string { return fmt.Sprintf("%d:%d", id.ledger, id.entry) }

func (id messageID) before(other messageID) bool {
	return id.ledger < other.ledger || id.ledger == other.ledger && id.entry < other.entry
}

// mark is how far one partition has been read.
type mark struct {
	id    messageID // of the last message
	index int64     // its index
}

// marks are how far each log has been read; what is not there, not at all.
type marks map[string]mark

// cursorForm begins every cursor of this package, and says how the rest is written.
const cursorForm = "p"

// cursor writes marks as a stable text: for each log in the order of their names the
// length of the name, the name and three numbers; then a checksum.
func (m marks) cursor() audit.Cursor {
	b := make([]byte, 0, 48*len(m)+4)
	for _, log := range slices.Sorted(maps.Keys(m)) {
		b = append(binary.AppendUvarint(b, uint64(len(log))), log...)
		at := m[log]
		for _, n := range []int64{at.id.ledger, at.id.entry, at.index} {
			b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // none is negative
		}
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return audit.Cursor(cursorForm + base64.RawURLEncoding.EncodeToString(b))
}

func parseCursor(c audit.Cursor) (marks, error) {
	if c == "" {
		return marks{}, nil
	}
	bad := func() (marks, error) {
		return nil, fmt.Errorf("%w: cursor %.20q is not one of this log", audit.ErrNotFound, string(c))
	}
	if c[:1] != cursorForm {
		return bad()
	}
	b, err := base64.RawURLEncoding.DecodeString(string(c[1:]))
	if err != nil || len(b) < 4 {
		return bad()
	}
	b, sum := b[:len(b)-4], b[len(b)-4:]
	if binary.BigEndian.Uint32(sum) != crc32.ChecksumIEEE(b) {
		return bad()
	}
	m := marks{}
	for len(b) > 0 {
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) { //nolint:gosec // not negative
			return bad()
		}
		log := string(b[n : n+int(length)]) //nolint:gosec // not longer than b
		b = b[n+int(length):]               //nolint:gosec // not longer than b
		var numbers [3]int64
		for i := range numbers {
			v, n := binary.Uvarint(b)
			if n <= 0 || v > 1<<62 {
				return bad()
			}
			numbers[i], b = int64(v), b[n:]
		}
		m[log] = mark{id: messageID{numbers[0], numbers[1]}, index: numbers[2]}
	}
	return m, nil
}
