package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/internal/direct"
)

// mayUseReserve tells which events are stored although there is no room for new
// calls: those that close a call or decide one, and what the broker says of itself.
// Rejections are not among them, since strangers cause them.
func mayUseReserve(t audit.Type) bool {
	return t != audit.CallIntent && t != audit.TokenRejected
}

// space is the reserve: a file as large as the room that is kept back, and, where
// the log has a quota, the last pages of it.
type space struct {
	log  *Log
	conn *direct.Conn
	path string
}

func openSpace(ctx context.Context, l *Log, c *direct.Conn) (space, error) {
	s := space{log: l, conn: c, path: filepath.Join(filepath.Dir(l.path), ReserveName)}
	if err := s.limit(ctx, l.options.MaxFileBytes-l.options.ReserveBytes); err != nil {
		return s, fileError(l.path, err)
	}
	info, err := os.Stat(s.path)
	if err == nil && info.Size() == l.options.ReserveBytes {
		return s, nil
	}
	if err := s.allocate(); err != nil {
		l.full.Store(true) // the writer goes on trying
		return s, s.limit(ctx, l.options.MaxFileBytes)
	}
	return s, nil
}

// release gives the reserve up. It is false if that was done before.
func (s *space) release() bool {
	if s.log.full.Swap(true) {
		return false
	}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.poison(fmt.Errorf("release reserve: %w", err))
	}
	if err := s.limit(context.Background(), s.log.options.MaxFileBytes); err != nil {
		s.log.poison(err)
	}
	return true
}

// restore takes the reserve back if there is room for it and a little more, so
// that a log does not swing between full and not.
func (s *space) restore() {
	if !s.hasQuota() {
		return
	}
	if err := s.allocate(); err != nil {
		return
	}
	if err := s.limit(context.Background(), s.log.options.MaxFileBytes-s.log.options.ReserveBytes); err != nil {
		s.log.poison(err)
		return
	}
	s.log.full.Store(false)
}

// hasQuota tells whether the quota, if there is one, has room again: pages that
// erased payloads have freed.
func (s *space) hasQuota() bool {
	soft := s.log.options.MaxFileBytes - s.log.options.ReserveBytes
	if s.log.options.MaxFileBytes == 0 {
		return true
	}
	pages, err := s.conn.Ints(context.Background(), "PRAGMA page_count")
	if err != nil {
		return false
	}
	free, err := s.conn.Ints(context.Background(), "PRAGMA freelist_count")
	if err != nil {
		return false
	}
	return (pages[0]-free[0])*pageBytes+s.headroom() <= soft
}

func (s *space) headroom() int64 { return s.log.options.ReserveBytes / 4 }

// limit sets the quota, if there is one.
func (s *space) limit(ctx context.Context, bytes int64) error {
	if s.log.options.MaxFileBytes == 0 {
		return nil
	}
	_, err := s.conn.Ints(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", bytes/pageBytes))
	return err
}

// allocate writes the reserve for real, with bytes that no file system can fold
// away, and for a moment more than it needs. It leaves nothing behind if it fails.
func (s *space) allocate() error {
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("allocate reserve: %w", err)
	}
	err = fill(f, s.log.options.ReserveBytes+s.headroom())
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Truncate(s.log.options.ReserveBytes)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("allocate reserve: %w", errors.Join(err, os.Remove(s.path)))
	}
	return nil
}

func fill(f *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for ; size > 0; size -= int64(len(block)) {
		block = block[:min(size, int64(len(block)))]
		_, _ = rand.Read(block) // never fails (crypto/rand)
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return nil
}
