package adopt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// ErrExists says that there is a configuration already.
var ErrExists = errors.New("there is a deed.yaml already")

// state is what undoing needs. It has secrets, as the files that it is about had.
type state struct {
	Files []adopted `json:"files"`
}

type adopted struct {
	File
	Real    string                     `json:"real"`
	Mode    fs.FileMode                `json:"mode"`
	Backup  string                     `json:"backup"`
	Written string                     `json:"written"` // SHA-256 of the file with Deed in it
	Entries map[string]json.RawMessage `json:"entries"` // as they were, by place
}

// Apply writes everything, the clients' files last. A file that has changed since the plan was
// made stays as it is, with an error.
func (p *Plan) Apply() error {
	if _, err := os.Lstat(p.path(configName)); err == nil {
		return ErrExists
	}
	for _, c := range p.Changes {
		if now, err := os.ReadFile(c.source.real); err != nil || !bytes.Equal(now, c.source.text) {
			return errors.Join(fmt.Errorf("%s has changed meanwhile", c.Path), err)
		}
	}
	config := p.config() // may trim secrets
	files := map[string]string{configName: config, policyName: p.policy()}
	for name, value := range p.secrets {
		files[filepath.Join(secretsDir, name)] = value
	}
	for name, text := range files {
		if err := write(p.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	s, err := p.backup()
	if err != nil {
		return err
	}
	if err := s.save(p.options.Dir); err != nil {
		return err
	}
	for _, c := range p.Changes {
		if err := write(c.source.real, c.after, c.source.mode); err != nil {
			return err
		}
	}
	return nil
}

// backup keeps the clients' files as they are.
func (p *Plan) backup() (*state, error) {
	s := &state{}
	for i, c := range p.Changes {
		a := adopted{
			File: c.File, Real: c.source.real, Mode: c.source.mode, Written: digest(c.after), Entries: map[string]json.RawMessage{},
			Backup: p.path(backupDir, fmt.Sprintf("%d-%s-%s", i+1, c.Client, filepath.Base(c.source.real))),
		}
		plain, err := c.source.plain()
		if err != nil {
			return nil, err
		}
		for _, t := range c.taken {
			a.Entries[t.at] = json.RawMessage(bytes.TrimSpace(plain.Find(t.at).Pack()))
		}
		if err := write(a.Backup, c.source.text, 0o600); err != nil {
			return nil, err
		}
		s.Files = append(s.Files, a)
	}
	return s, nil
}

func (s *state) save(dir string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return write(filepath.Join(dir, stateName), append(raw, '\n'), 0o600)
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// write replaces a file as a whole.
func write(path string, text []byte, mode fs.FileMode) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".deed-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Undone is what became of one file.
type Undone struct {
	File
	Exact bool `json:"exact"` // the file is what it was; else only the servers in it are
}

// Undo puts the servers of the clients back. A file that nobody has changed since is restored
// byte by byte; in one that has been, each server that still goes through Deed is. The files of Deed stay.
func Undo(dir string) ([]Undone, error) {
	raw, err := os.ReadFile(filepath.Join(dir, stateName)) //nolint:gosec // the operator's own directory
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("nothing has been adopted from there")
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("%s is damaged; the files as they were are in %s", stateName, filepath.Join(dir, backupDir))
	}
	var all []Undone
	for len(s.Files) > 0 {
		exact, err := s.Files[0].undo()
		if err != nil {
			return all, fmt.Errorf("restore %s, which is kept in %s: %w", s.Files[0].Path, s.Files[0].Backup, err)
		}
		all = append(all, Undone{s.Files[0].File, exact})
		s.Files = slices.Delete(s.Files, 0, 1)
		if err := s.save(dir); err != nil {
			return all, err
		}
	}
	return all, errors.Join(
		os.Remove(filepath.Join(dir, stateName)),
		os.Rename(filepath.Join(dir, configName), filepath.Join(dir, configName+".undone")), // it can be adopted again
	)
}

func (a adopted) undo() (exact bool, err error) {
	now, err := os.ReadFile(a.Real)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err == nil && digest(now) != a.Written {
		text, err := restored(now, a.Entries)
		if err != nil {
			return false, err
		}
		return false, write(a.Real, text, a.Mode)
	}
	before, err := os.ReadFile(a.Backup)
	if err != nil {
		return false, err
	}
	return true, write(a.Real, before, a.Mode)
}
