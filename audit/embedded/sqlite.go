package embedded

import (
	"fmt"

	sqlitelib "modernc.org/sqlite/lib"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/internal/direct"
)

func isFull(err error) bool { return direct.Code(err) == sqlitelib.SQLITE_FULL }

func isBusy(err error) bool { return direct.Code(err) == sqlitelib.SQLITE_BUSY }

// fileError says in the log's own words what is wrong with the file at path.
func fileError(path string, err error) error {
	switch direct.Code(err) {
	case sqlitelib.SQLITE_NOTADB:
		return fmt.Errorf("%w: %s is not an SQLite database: %w", audit.ErrCorrupt, path, err)
	case sqlitelib.SQLITE_CORRUPT:
		return fmt.Errorf("%w: %s is damaged: %w", audit.ErrCorrupt, path, err)
	case sqlitelib.SQLITE_READONLY, sqlitelib.SQLITE_PERM:
		return fmt.Errorf("%w: %s cannot be written: %w", audit.ErrUnavailable, path, err)
	case sqlitelib.SQLITE_CANTOPEN:
		return fmt.Errorf("%w: %s cannot be opened: %w", audit.ErrUnavailable, path, err)
	case sqlitelib.SQLITE_FULL:
		return fmt.Errorf("%w: %s cannot grow: %w", audit.ErrFull, path, err)
	case sqlitelib.SQLITE_BUSY:
		return fmt.Errorf("%w: %s is held by a program that is not deed: %w", audit.ErrLocked, path, err)
	default:
		return fmt.Errorf("%w: %s: %w", audit.ErrUnavailable, path, err)
	}
}
