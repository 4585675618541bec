package archive

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Dir is a store in a directory, which is made when something is put there.
type Dir string

var _ Store = Dir("")

func (d Dir) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// Create is [Store.Create].
func (d Dir) Create(_ context.Context, name string) (File, error) {
	path := d.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path+".partial", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // where the user wants it
	if err != nil {
		return nil, err
	}
	return &dirFile{File: f, path: path}, nil
}

// Open is [Store.Open].
func (d Dir) Open(_ context.Context, name string) (io.ReadCloser, error) {
	return os.Open(d.path(name))
}

type dirFile struct {
	*os.File

	path string
}

// Close makes the file durable and gives it its name.
func (f *dirFile) Close() error {
	if err := errors.Join(f.Sync(), f.File.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Abandon removes the file.
func (f *dirFile) Abandon() { _ = errors.Join(f.File.Close(), os.Remove(f.Name())) } // it failed, and somebody is told why
