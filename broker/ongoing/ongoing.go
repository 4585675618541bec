package ongoing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	suffix   = ".task.json"
	unwhole  = ".new" // of a file that is being written
	dirMode  = 0o700
	fileMode = 0o600
	maxTask  = 64 << 10 // bytes of a file
)

// Task is what an upstream makes of a call.
type Task struct {
	Handle json.RawMessage `json:"handle"` // what the upstream needs to be asked about it
	Made   time.Time       `json:"made"`
}

// Store is a directory with a file for each task. It is safe for concurrent use, for each call.
type Store struct {
	dir string
}

// Open opens the store in dir, which is made if need be. What a crash left half-written is removed.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("open store of tasks: %w", err)
	}
	half, err := filepath.Glob(filepath.Join(dir, "*"+unwhole))
	for _, path := range half {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return nil, fmt.Errorf("open store of tasks: %w", err)
	}
	return &Store{dir}, nil
}

// Put keeps the task of a call. It is durable when Put returns.
func (s *Store) Put(callID string, t Task) error {
	body, err := json.Marshal(t)
	switch {
	case err != nil:
	case uuid.Validate(callID) != nil: // it names a file
		err = errors.New("the call has no id")
	case len(body) > maxTask:
		err = errors.New("it is too large")
	default:
		err = s.write(s.path(callID), body)
	}
	if err != nil {
		return fmt.Errorf("keep task: %w", err)
	}
	return nil
}

// Remove forgets the task of a call. There need be none.
func (s *Store) Remove(callID string) error {
	if err := os.Remove(s.path(callID)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget task: %w", err)
	}
	return nil
}

// All are the tasks that are kept, by call. A file that is none is named in the error, beside the others.
func (s *Store) All() (map[string]Task, error) {
	files, err := filepath.Glob(filepath.Join(s.dir, "*"+suffix))
	if err != nil {
		return nil, fmt.Errorf("read tasks: %w", err)
	}
	all := map[string]Task{}
	var bad error
	for _, path := range files {
		t, err := read(path)
		if err != nil {
			bad = errors.Join(bad, fmt.Errorf("read task: %w", err))
			continue
		}
		all[strings.TrimSuffix(filepath.Base(path), suffix)] = t
	}
	return all, bad
}

func read(path string) (t Task, err error) {
	f, err := os.Open(path) //nolint:gosec // in the operator's own directory
	if err != nil {
		return t, err
	}
	body, err := io.ReadAll(io.LimitReader(f, maxTask))
	if err = errors.Join(err, f.Close()); err != nil {
		return t, err
	}
	if err := json.Unmarshal(body, &t); err != nil {
		return t, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return t, nil
}

func (s *Store) path(callID string) string { return filepath.Join(s.dir, callID+suffix) }

func (s *Store) write(path string, body []byte) error {
	f, err := os.OpenFile(path+unwhole, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode) //nolint:gosec // in the operator's own directory
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(body))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+unwhole))
	}
	if err := os.Rename(path+unwhole, path); err != nil {
		return err
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
