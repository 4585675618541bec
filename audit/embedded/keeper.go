package embedded

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/deedbroker/deed/audit/internal/direct"
)

// When the write-ahead log is folded into the file, in pages of it.
const (
	foldPages   = 1024
	pageBytes   = 4096
	commitPages = 4 // that a commit writes, however small it is
)

// keeper folds the write-ahead log into the file beside the writer, so that no
// append waits for it. The writer folds the little that came meanwhile. Then it begins the
// write-ahead log again, and writes over what the disk has already: to sync a file that
// grows takes half as long again.
type keeper struct {
	log    *Log
	conn   *direct.Conn
	wish   chan struct{} // holds one wish to fold
	folded atomic.Bool   // but for what came meanwhile
	bytes  int64         // committed since the last wish, about; the writer's
}

func newKeeper(ctx context.Context, l *Log) (*keeper, error) {
	c, err := direct.Connect(ctx, direct.DSN(l.path, "rw", nil, "wal_autocheckpoint(0)", "synchronous(FULL)"))
	if err != nil {
		return nil, fileError(l.path, err)
	}
	return &keeper{log: l, conn: c, wish: make(chan struct{}, 1)}, nil
}

// committed is called by the writer after every batch.
func (k *keeper) committed(w *writer) {
	k.bytes += commitPages * pageBytes
	for _, r := range w.batch {
		k.bytes += r.size
	}
	if k.folded.CompareAndSwap(true, false) {
		w.checkFold(w.fold(w.passive))
	}
	if k.bytes >= foldPages*pageBytes {
		k.bytes = 0
		select {
		case k.wish <- struct{}{}:
		default:
		}
	}
}

// run folds whenever the writer wishes it, until the log has stopped.
func (k *keeper) run() {
	for {
		select {
		case <-k.wish:
			k.fold()
		case <-k.log.stopped:
			if err := k.conn.Close(); err != nil {
				k.log.poison(err)
			}
			return
		}
	}
}

func (k *keeper) fold() {
	_, err := k.conn.Ints(context.Background(), "PRAGMA wal_checkpoint(PASSIVE)")
	switch {
	case err == nil:
		k.folded.Store(true)
	case passes(err): // the next wish will do
	default:
		k.log.poison(fmt.Errorf("checkpoint: %w", err))
	}
}

// fold runs a checkpoint of SQLite's. It is errUnfolded if readers stood in the way.
func (w *writer) fold(checkpoint *direct.Stmt) error {
	row, err := checkpoint.Ints()
	if err == nil && row[0] != 0 {
		return errUnfolded
	}
	return err
}

// errUnfolded: some of the write-ahead log is still read.
var errUnfolded = errors.New("readers hold the write-ahead log")

// passes tells whether a checkpoint failed for a reason that goes away by itself.
func passes(err error) bool { return errors.Is(err, errUnfolded) || isBusy(err) || isFull(err) }

// checkFold poisons the log if a checkpoint failed for good.
func (w *writer) checkFold(err error) {
	if err != nil && !passes(err) {
		w.log.poison(fmt.Errorf("checkpoint: %w", err))
	}
}
