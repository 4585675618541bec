package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/deedbroker/deed/agents/login"
)

const (
	maxFile   = 1 << 20
	lockEvery = 20 * time.Millisecond
)

// kept is what the broker knows of an upstream beyond a restart.
type kept struct {
	// Upstream is the URL that all the rest is about: nothing of it is for another.
	Upstream     string        `json:"upstream"`
	Asked        *asked        `json:"asked,omitempty"`
	SecretAt     string        `json:"secret_at,omitempty"` // the issuer that has seen the secret of the client that was registered beforehand
	Registration *registration `json:"registration,omitempty"`
	Consent      *consent      `json:"consent,omitempty"`
}

// asked is what the upstream asks for and nobody has consented to yet.
type asked struct {
	Metadata string   `json:"metadata,omitempty"`
	Scopes   []string `json:"scopes,omitempty"`
}

// registration is a client that the broker has registered at an authorization server.
type registration struct {
	Issuer   string       `json:"issuer"`
	ID       string       `json:"client_id"`
	Secret   login.Secret `json:"client_secret,omitempty"`
	Method   login.Method `json:"method"`
	Redirect string       `json:"redirect"`
	Expires  time.Time    `json:"expires,omitzero"` // of the secret
}

// consent is what a person has agreed to, and the tokens that came of it.
type consent struct {
	Issuer    string       `json:"issuer"`
	ClientID  string       `json:"client_id"`
	Method    login.Method `json:"method"`
	Resource  string       `json:"resource"`
	Requested []string     `json:"requested,omitempty"` // scopes
	Granted   []string     `json:"granted,omitempty"`
	Since     time.Time    `json:"since"` // of the tokens
	Token     login.Token  `json:"token"`
	Ended     string       `json:"ended,omitempty"` // why the tokens are gone
}

// Store is the file of one upstream. Several processes may use it.
type Store struct {
	path, upstream string

	mu   sync.Mutex
	seen os.FileInfo // guarded by mu; of the file that last was read from; nil if there was none
	last kept        // guarded by mu
}

// NewStore uses a file in a directory, named after an upstream, for that upstream at a URL.
// Neither has to be there.
func NewStore(dir, name, url string) *Store {
	return &Store{path: filepath.Join(dir, name+".json"), upstream: url}
}

// load is what is kept. It reads the file only if it is another than before.
func (s *Store) load() (kept, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.seen, s.last = nil, kept{Upstream: s.upstream}
		return s.last, nil
	case err != nil:
		return kept{}, fmt.Errorf("read consent: %w", err)
	case s.seen != nil && os.SameFile(now, s.seen) && now.ModTime().Equal(s.seen.ModTime()) && now.Size() == s.seen.Size():
		return s.last, nil
	}
	read, info, err := s.read()
	if err != nil {
		return kept{}, fmt.Errorf("read consent: %w", err)
	}
	s.seen, s.last = info, read
	return read, nil
}

func (s *Store) read() (_ kept, _ os.FileInfo, err error) {
	file, err := os.Open(s.path)
	if err != nil {
		return kept{}, nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	switch {
	case err != nil:
		return kept{}, nil, err
	case !info.Mode().IsRegular():
		return kept{}, nil, fmt.Errorf("%s is not a regular file", s.path)
	case info.Mode().Perm()&0o077 != 0:
		return kept{}, nil, fmt.Errorf("%s is readable by others (mode %04o): chmod 600 it", s.path, info.Mode().Perm())
	}
	body, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return kept{}, nil, err
	}
	var k kept
	if json.Unmarshal(body, &k) != nil {
		return kept{}, nil, fmt.Errorf("%s cannot be read: move it away and log in again", s.path)
	}
	if k.Upstream != s.upstream { // its URL has changed
		k = kept{Upstream: s.upstream}
	}
	return k, info, nil
}

// change edits what is kept, alone among all processes. The edit may take its time. It puts new
// values in the place of old ones, which others may be reading. What it has done is durable before
// change returns; if it fails, nothing of it is kept, unless its error says that something has ended.
func (s *Store) change(ctx context.Context, edit func(*kept) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("keep consent: %w", err)
	}
	lock := flock.New(s.path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockEvery); err != nil {
		return fmt.Errorf("keep consent: lock: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	now, err := s.load()
	if err != nil {
		return err
	}
	before, err := json.Marshal(now)
	if err != nil {
		return err
	}
	edited := edit(&now)
	if _, ended := errors.AsType[*endedError](edited); edited != nil && !ended {
		return edited
	}
	after, err := json.Marshal(now) // the secrets belong in this file
	if err != nil || string(after) == string(before) {
		return errors.Join(edited, err)
	}
	if err := replace(s.path, after); err != nil {
		return fmt.Errorf("keep consent: %w", err)
	}
	return edited
}

// replace puts a file in the place of another, whole and durable.
func replace(path string, body []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // nobody reads it
		}
	}()
	_, err = file.Write(append(body, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
