package notify

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	_ "modernc.org/sqlite" // the driver

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// FileName is what the file is called in a data directory.
const FileName = "notify.db"

// maxLetters bounds the dead letters that are kept.
const maxLetters = 1000

// A file of another version is thrown away: what waits is then told again.
const (
	applicationID = 0x44656e6f // "Deno"
	version       = 1
)

// store is how far the log was read, the calls that were held and what was said of them.
type store struct{ db *sql.DB }

func openStore(ctx context.Context, path string) (*store, error) {
	s, err := tryStore(ctx, path)
	if err == nil {
		return s, nil
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if gone := os.Remove(path + suffix); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			return nil, errors.Join(err, gone)
		}
	}
	return tryStore(ctx, path)
}

func tryStore(ctx context.Context, path string) (*store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in the data directory
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return nil, err
	}
	pragmas := url.Values{"_pragma": {"journal_mode(wal)", "synchronous(normal)", "busy_timeout(5000)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	s := &store{db}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

func (s *store) prepare(ctx context.Context) error {
	var app, have, tables int
	for query, into := range map[string]*int{
		`PRAGMA application_id`: &app, `PRAGMA user_version`: &have, `SELECT count(*) FROM sqlite_schema`: &tables,
	} {
		if err := s.db.QueryRowContext(ctx, query).Scan(into); err != nil {
			return err
		}
	}
	if tables > 0 {
		if app != applicationID || have != version {
			return fmt.Errorf("the file has version %d of application %x", have, app)
		}
		return nil
	}
	_, err := s.db.ExecContext(ctx, fmt.Sprintf(`
		CREATE TABLE calls (id TEXT PRIMARY KEY, folded TEXT NOT NULL, told TEXT NOT NULL) STRICT, WITHOUT ROWID;
		CREATE TABLE letters (n INTEGER PRIMARY KEY, at INTEGER NOT NULL, channel TEXT NOT NULL, call TEXT NOT NULL, state TEXT NOT NULL, why TEXT NOT NULL) STRICT;
		CREATE TABLE place (one INTEGER PRIMARY KEY CHECK (one = 1), cursor TEXT NOT NULL) STRICT;
		PRAGMA application_id = %d; PRAGMA user_version = %d`, applicationID, version))
	return err
}

// load gives the place where reading stopped, and every call that is in the file.
func (s *store) load(ctx context.Context, each func(calls.Call, map[string]told)) (at audit.Cursor, known bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT cursor FROM place`).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT folded, told FROM calls`)
	if err != nil {
		return "", false, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var folded, said []byte
		var c calls.Call
		var t map[string]told
		if err := rows.Scan(&folded, &said); err != nil {
			return "", false, err
		}
		if err := errors.Join(jsonv2.Unmarshal(folded, &c), json.Unmarshal(said, &t)); err != nil {
			return "", false, err
		}
		each(c, t)
	}
	return at, true, rows.Err()
}

// clear forgets everything: the log is another one than was read.
func (s *store) clear(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM calls; DELETE FROM place`)
	return err
}

// reached stores how far the log was read.
func (s *store) reached(ctx context.Context, at audit.Cursor) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO place VALUES (1, ?) ON CONFLICT DO UPDATE SET cursor = excluded.cursor`, string(at))
	return err
}

// put stores a call with what was said of it, and how far the log was read.
func (s *store) put(ctx context.Context, c calls.Call, said map[string]told, at audit.Cursor) error {
	folded, err := jsonv2.Marshal(&c, jsonv2.FormatNilSliceAsNull(true))
	if err != nil {
		return err
	}
	text, err := json.Marshal(said)
	if err != nil {
		return err
	}
	return s.both(ctx, at, `INSERT INTO calls VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET folded = excluded.folded, told = excluded.told`, c.ID, string(folded), string(text))
}

// forget removes a call, and stores how far the log was read.
func (s *store) forget(ctx context.Context, id string, at audit.Cursor) error {
	return s.both(ctx, at, `DELETE FROM calls WHERE id = ?`, id)
}

func (s *store) both(ctx context.Context, at audit.Cursor, statement string, args ...any) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, statement, args...)
	if err == nil {
		_, err = tx.ExecContext(ctx, `INSERT INTO place VALUES (1, ?) ON CONFLICT DO UPDATE SET cursor = excluded.cursor`, string(at))
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// said stores what was said of calls; nil removes them.
func (s *store) said(ctx context.Context, changed map[string]map[string]told) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for id, said := range changed {
		if said == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM calls WHERE id = ?`, id)
		} else {
			var text []byte
			if text, err = json.Marshal(said); err == nil {
				_, err = tx.ExecContext(ctx, `UPDATE calls SET told = ? WHERE id = ?`, string(text), id)
			}
		}
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// bury keeps a dead letter, of which the last ones stay.
func (s *store) bury(ctx context.Context, at time.Time, channel, call string, state State, why string) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO letters (at, channel, call, state, why) VALUES (?, ?, ?, ?, ?)`,
		at.UnixNano(), channel, call, string(state), why)
	if err == nil {
		_, err = s.db.ExecContext(ctx, `DELETE FROM letters WHERE n <= (SELECT max(n) FROM letters) - ?`, maxLetters)
	}
	return err
}

// letters counts the dead letters since a time, by channel.
func (s *store) letters(ctx context.Context, since time.Time) (map[string]int, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT channel, count(*) FROM letters WHERE at >= ? GROUP BY channel`, since.UnixNano())
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	dead := map[string]int{}
	for rows.Next() {
		var channel string
		var n int
		if err := rows.Scan(&channel, &n); err != nil {
			return nil, err
		}
		dead[channel] = n
	}
	return dead, rows.Err()
}

func (s *store) close() error { return s.db.Close() }
