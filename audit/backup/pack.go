package backup

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// pack writes the files of a backup into one.
func pack(dir, to string) (err error) {
	f, err := os.OpenFile(to+partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // where the user wants it
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(to+partial))
		}
	}()
	err = writeTar(f, dir)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(to+partial, to)
}

func writeTar(w io.Writer, dir string) error {
	z, err := zstd.NewWriter(w)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	for _, name := range files() {
		if err = addFile(t, dir, name); err != nil {
			break
		}
	}
	return errors.Join(err, t.Close(), z.Close())
}

func addFile(t *tar.Writer, dir, name string) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name))) //nolint:gosec // of the backup
	if errors.Is(err, fs.ErrNotExist) && !required(name) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime(), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

// unpack takes the files of a backup out of one. Others in it are refused.
func unpack(from, dir string) error {
	f, err := os.Open(from) //nolint:gosec // the user's own file
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	z, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer z.Close()
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s is no backup: %w", from, err)
		}
		if !slices.Contains(files(), h.Name) || h.Typeflag != tar.TypeReg {
			return fmt.Errorf("%s is no backup: it has %.100q", from, h.Name)
		}
		if err := write(t, filepath.Join(dir, filepath.FromSlash(h.Name))); err != nil {
			return err
		}
	}
}

func copyFile(from, to string) error {
	f, err := os.Open(from) //nolint:gosec // of a backup that the user names
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return write(f, to)
}

func write(from io.Reader, to string) error {
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // below a directory of our own
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}
