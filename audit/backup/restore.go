package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
)

// ErrFindings says that what was verified is not what was sealed.
var ErrFindings = errors.New("the history does not verify")

// Restore puts a backup into a data directory that has no log, and verifies it before
// anything is in its place: with findings the error is [ErrFindings], beside the report.
func Restore(ctx context.Context, from, data string, trust []seal.Verifier) (Made, error) {
	made, err := restore(ctx, from, data, trust)
	if err != nil {
		return made, fmt.Errorf("restore backup: %w", err)
	}
	return made, nil
}

func restore(ctx context.Context, from, data string, trust []seal.Verifier) (made Made, err error) {
	if err := vacant(data); err != nil {
		return Made{}, err
	}
	dir := filepath.Join(data, "restore"+partial)
	if err := errors.Join(os.MkdirAll(data, 0o700), os.RemoveAll(dir)); err != nil {
		return Made{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := lay(from, dir); err != nil {
		return Made{}, err
	}
	manifest, err := readManifest(dir)
	if err != nil {
		return Made{}, err
	}
	if made, err = check(ctx, dir, trust); err != nil {
		return Made{}, err
	}
	sizes := made.Manifest.Logs
	made.Manifest = manifest
	for log, size := range manifest.Logs {
		if sizes[log] != size {
			return made, fmt.Errorf("%w: %s has %d records, the backup says %d", audit.ErrCorrupt, log, sizes[log], size)
		}
	}
	if !made.Report.OK() {
		return made, ErrFindings
	}
	return made, settle(dir, data)
}

// vacant says why a directory cannot take a backup.
func vacant(data string) error {
	for _, name := range []string{embedded.FileName, filepath.Join("log", embedded.FileName), filepath.FromSlash(PrivateKey)} {
		path := filepath.Join(data, name)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s is there: a backup goes only where no broker has kept anything", path), err)
		}
	}
	return nil
}

// settle moves what was verified into its place, the log last: until then there is none.
func settle(dir, data string) error {
	if err := os.MkdirAll(filepath.Join(data, "keys"), 0o700); err != nil {
		return err
	}
	for _, name := range []string{PublicKey, PrivateKey, NextKey, embedded.FileName} {
		err := os.Rename(filepath.Join(dir, filepath.FromSlash(name)), filepath.Join(data, filepath.FromSlash(name)))
		if err != nil && (name == embedded.FileName || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return errors.Join(syncDir(filepath.Join(data, "keys")), syncDir(data))
}

// lay puts the files of a backup into a new directory.
func lay(from, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return unpack(from, dir)
	}
	for _, name := range files() {
		err := copyFile(filepath.Join(from, filepath.FromSlash(name)), filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil && (required(name) || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

func files() []string {
	return []string{ManifestName, embedded.FileName, PublicKey, PrivateKey, NextKey}
}

func required(name string) bool { return name == ManifestName || name == embedded.FileName }

func readManifest(dir string) (Manifest, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, ManifestName)) //nolint:gosec // of the backup
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil && m.Version != 1 {
		err = fmt.Errorf("it is of version %d, this program knows 1", m.Version)
	}
	if err != nil {
		return m, fmt.Errorf("read %s: %w", ManifestName, err)
	}
	return m, nil
}
