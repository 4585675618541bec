package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// ErrNoSession is returned where nobody has signed in.
var ErrNoSession = errors.New("not signed in")

// Session is a person's sign-in for one broker.
type Session struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	Token    Token  `json:"token"`
}

// Store keeps sessions in a file that only its owner can read (0600), by the
// broker's URL. Several processes may use one file.
type Store struct{ path string }

// NewStore uses the file at path, which need not exist.
func NewStore(path string) *Store { return &Store{path: path} }

// Load is the session for a broker, or [ErrNoSession]. It fails if others than its
// owner may read the file.
func (s *Store) Load(broker string) (*Session, error) {
	sessions, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("load session: %w", err)
	}
	session, ok := sessions[storeKey(broker)]
	if !ok {
		return nil, fmt.Errorf("load session: %s: %w", broker, ErrNoSession)
	}
	return &session, nil
}

// Save keeps the session for a broker in place of the one before. A crash
// leaves the one or the other, whole.
func (s *Store) Save(ctx context.Context, broker string, session Session) error {
	err := s.change(ctx, func(sessions map[string]Session) { sessions[storeKey(broker)] = session })
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	return nil
}

// Delete forgets the session for a broker, if there is one.
func (s *Store) Delete(ctx context.Context, broker string) error {
	err := s.change(ctx, func(sessions map[string]Session) { delete(sessions, storeKey(broker)) })
	if err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}

func storeKey(broker string) string { return strings.TrimRight(broker, "/") }

func (s *Store) change(ctx context.Context, edit func(map[string]Session)) (err error) {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	lock := flock.New(s.path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	sessions, err := s.read()
	if err != nil {
		return err
	}
	edit(sessions)
	return s.write(sessions)
}

func (s *Store) read() (sessions map[string]Session, err error) {
	sessions = make(map[string]Session)
	file, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return sessions, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return nil, fmt.Errorf("%s is readable by others (mode %04o): chmod 600 it", s.path, info.Mode().Perm())
	}
	body, err := io.ReadAll(io.LimitReader(file, maxAnswer))
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(body, &sessions) != nil || sessions == nil {
		return nil, fmt.Errorf("%s is not a file of sessions", s.path)
	}
	return sessions, nil
}

// write replaces the file as a whole, or not at all.
func (s *Store) write(sessions map[string]Session) error {
	body, err := json.MarshalIndent(sessions, "", "  ") // the secrets belong in this file
	if err != nil {
		return err
	}
	return replaceFile(s.path, append(body, '\n'))
}

func replaceFile(path string, body []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = file.Write(body)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
