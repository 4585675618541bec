package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// The files of a backup, beside the log.
const (
	ManifestName = "backup.json"
	PublicKey    = "keys/checkpoints.pub"
	PrivateKey   = "keys/checkpoints.key"
	NextKey      = PrivateKey + seal.NextSuffix // that is to take its place, or did a moment ago

	packed  = ".tar.zst" // how the name of a backup in one file ends
	partial = ".partial"
)

// Manifest says what a backup is of.
type Manifest struct {
	Version int              `json:"version"` // 1
	Made    time.Time        `json:"made"`
	Logs    map[string]int64 `json:"logs"` // how many records each has
	Keys    bool             `json:"keys"` // whether the key that signs checkpoints is in it
}

// Options say what to copy.
type Options struct {
	Log  string // directory of the embedded log
	Keys string // directory of the broker's data, which has keys/
	To   string // a directory that is not there yet, or a file whose name ends in .tar.zst
	// Private copies the key that signs checkpoints too: whoever has it can sign in the
	// broker's name.
	Private bool
	Trust   []seal.Verifier // none: the key beside the log, or the one that it names
}

// Made is a backup that was made, or put back.
type Made struct {
	Manifest Manifest
	Report   *verify.Report // on the copy
}

// Make makes a backup, and verifies it. A history in which that finds something is kept
// all the same, as it is: the report tells.
func Make(ctx context.Context, o Options) (Made, error) {
	made, err := build(ctx, o)
	if err != nil {
		return Made{}, fmt.Errorf("make backup: %w", err)
	}
	return made, nil
}

func build(ctx context.Context, o Options) (made Made, err error) {
	if _, err := os.Lstat(o.To); !errors.Is(err, fs.ErrNotExist) {
		return Made{}, errors.Join(fmt.Errorf("%s is there already", o.To), err)
	}
	dir := strings.TrimSuffix(o.To, packed) + partial
	if err := os.RemoveAll(dir); err != nil { // of one that was cut off
		return Made{}, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return Made{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := copyAll(ctx, o, dir); err != nil {
		return Made{}, err
	}
	if made, err = check(ctx, dir, o.Trust); err != nil {
		return Made{}, err
	}
	made.Manifest = Manifest{Version: 1, Made: time.Now().UTC(), Logs: made.Manifest.Logs, Keys: o.Private}
	text, err := json.MarshalIndent(made.Manifest, "", "  ")
	if err != nil {
		return Made{}, err
	}
	if err := writeFile(filepath.Join(dir, ManifestName), append(text, '\n')); err != nil {
		return Made{}, err
	}
	if strings.HasSuffix(o.To, packed) {
		err = errors.Join(pack(dir, o.To), os.RemoveAll(dir))
	} else {
		err = os.Rename(dir, o.To)
	}
	return made, errors.Join(err, syncDir(filepath.Dir(o.To)))
}

// maxCopies is how often a log is copied whose keys are rotated meanwhile.
const maxCopies = 5

// copyAll copies the log and the keys that belong to it: none that came in force later.
func copyAll(ctx context.Context, o Options, dir string) error {
	for range maxCopies {
		keys, err := readKeys(o)
		if err != nil {
			return err
		}
		if err := embedded.Backup(ctx, o.Log, dir); err != nil {
			return err
		}
		after, err := readKeys(o)
		if err != nil {
			return err
		}
		if maps.EqualFunc(keys, after, bytes.Equal) {
			return writeKeys(keys, dir)
		}
		if err := os.Remove(filepath.Join(dir, embedded.FileName)); err != nil {
			return err
		}
	}
	return errors.New("the keys of the log are rotated all the time")
}

// readKeys are the key files that a backup has, by name.
func readKeys(o Options) (map[string][]byte, error) {
	names := []string{PublicKey}
	if o.Private {
		names = append(names, PrivateKey, NextKey)
	}
	keys := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(o.Keys, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) && name != PrivateKey {
			continue // the log names the one, and there need not be the other
		}
		if err != nil {
			return nil, err
		}
		keys[name] = text
	}
	return keys, nil
}

func writeKeys(keys map[string][]byte, dir string) error {
	for name, text := range keys {
		if err := writeFile(filepath.Join(dir, filepath.FromSlash(name)), text); err != nil {
			return err
		}
	}
	return nil
}

// check verifies the history in a directory.
func check(ctx context.Context, dir string, trust []seal.Verifier) (made Made, err error) {
	if len(trust) == 0 {
		if trust, err = published(dir); err != nil {
			return Made{}, err
		}
	}
	reader, err := embedded.OpenReadOnly(ctx, dir)
	if err != nil {
		return Made{}, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	if made.Manifest.Logs, err = reader.Sizes(ctx); err != nil {
		return Made{}, err
	}
	made.Report, err = verify.Verify(ctx, reader, verify.Options{Keys: trust})
	return made, err
}

// published is the verifier key beside a log; none if there is none.
func published(dir string) ([]seal.Verifier, error) {
	text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(PublicKey))) //nolint:gosec // of a backup
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, err := seal.ParseVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", audit.ErrCorrupt, PublicKey, err)
	}
	return []seal.Verifier{key}, nil
}

// writeFile writes a file for nobody else, durably.
func writeFile(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // below a directory of our own
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // where the backup is
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
