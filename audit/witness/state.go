package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"golang.org/x/mod/sumdb/tlog"
)

// tree is what the text of any log's checkpoint says (C2SP tlog-checkpoint).
type tree struct {
	origin string
	size   int64
	root   tlog.Hash
}

// parseTree reads a checkpoint's text; lines of extensions are left alone.
func parseTree(text string) (tree, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) != 4 || lines[0] == "" {
		return tree{}, errors.New("the note is not a checkpoint")
	}
	size, err := parseSize(lines[1])
	if err != nil {
		return tree{}, err
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return tree{}, err
	}
	return tree{origin: lines[0], size: size, root: root}, nil
}

// state is what a witness has signed: for each log a file with the checkpoint. A file is
// replaced as a whole, so that it is either the one or the other after a crash.
type state struct {
	dir  string
	lock *flock.Flock
	logs int // files
}

func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	held, err := lock.TryLock()
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, fmt.Errorf("another witness has %s", dir)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.checkpoint"))
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return &state{dir: dir, lock: lock, logs: len(files)}, nil
}

func (s *state) close() error {
	if s.lock == nil {
		return nil
	}
	err := s.lock.Unlock()
	s.lock = nil
	return err
}

func (s *state) path(origin string) string {
	return filepath.Join(s.dir, nameOf(origin)+".checkpoint")
}

// nameOf is a name for files of whatever a text names.
func nameOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// last is the tree of a log that was signed last, the empty one if none was. A file that
// cannot be read is an error: what it said must not be signed over.
func (s *state) last(origin string) (tree, error) {
	if s.lock == nil {
		return tree{}, fs.ErrClosed
	}
	text, err := os.ReadFile(s.path(origin))
	if errors.Is(err, fs.ErrNotExist) {
		return tree{origin: origin}, nil
	}
	if err != nil {
		return tree{}, err
	}
	t, err := parseTree(string(text))
	if err == nil && t.origin != origin {
		err = fmt.Errorf("it is of %q", t.origin)
	}
	if err != nil {
		return tree{}, fmt.Errorf("read %s: %w", s.path(origin), err)
	}
	return t, nil
}

// store makes a log's checkpoint the last one, durably.
func (s *state) store(t tree, note string) (err error) {
	path := s.path(t.origin)
	_, err = os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh && s.logs >= maxLogs {
		return &refusal{http.StatusTooManyRequests, "there are too many logs here"}
	}
	if err := s.replace(path, note); err != nil {
		return err
	}
	if fresh {
		s.logs++
	}
	return nil
}

// replace writes a file as a whole, durably.
func (s *state) replace(path, text string) error {
	f, err := os.CreateTemp(s.dir, ".next-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(s.dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
