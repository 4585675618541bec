package embedded

import (
	"encoding/binary"
	"io"
	"os"
	"testing"

	"github.com/deedbroker/deed/audit/audittest"
)

// Once the keeper has folded the write-ahead log the writer folds the rest, and begins it
// again instead of letting it grow.
func TestWriteAheadLogBeginsAgain(t *testing.T) {
	t.Parallel()
	l, err := Open(t.Context(), t.TempDir()+"/log", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	appendOne := func() {
		t.Helper()
		if _, err := l.Append(t.Context(), audittest.Intent(audittest.NewID(), `{"amount":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	appendOne()
	first := beginnings(t, l)
	appendOne()
	if got := beginnings(t, l); got != first {
		t.Fatalf("the write-ahead log began again too early: it has begun %d times, want %d", got, first)
	}
	l.writer.keeper.folded.Store(true) // as the keeper does when it is done, but for what comes meanwhile:
	appendOne()
	appendOne()
	if got := beginnings(t, l); got != first+1 {
		t.Errorf("the write-ahead log has begun %d times, want %d", got, first+1)
	}
	if got := l.Stats().Records; got != 4 {
		t.Errorf("the log has %d records, want 4", got)
	}
}

// beginnings is how often a write-ahead log has begun (its header's checkpoint sequence
// number, see https://sqlite.org/fileformat2.html#walformat).
func beginnings(t *testing.T, l *Log) uint32 {
	t.Helper()
	f, err := os.Open(l.path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	header := make([]byte, 32)
	if _, err := io.ReadFull(f, header); err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(header[12:])
}
