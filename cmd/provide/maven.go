package provide

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Artifact is an archive that a Maven repository serves.
type Artifact struct {
	Coordinates string // group:artifact:version:tar.gz, with the classifier after it if there is one
	SHA256      string // of the archive, in hex; it is refused otherwise
	// Keep are the paths in the archive, without its top directory, that are
	// unpacked: files, or directories with what is below. None means all.
	Keep []string
}

// mavenCopy fetches an artifact, with Maven's own settings and cache.
const mavenCopy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"

// Unpacked returns the directory that has what the artifact's archive has below its
// top directory; mvn fetches it if it isn't there yet.
func (c *Cache) Unpacked(ctx context.Context, a Artifact) (string, error) {
	return c.Once(ctx, "maven-"+a.Coordinates, func(dir string) error {
		mvn, err := c.Program(ctx, "mvn", "maven")
		if err != nil {
			return err
		}
		fetched := filepath.Join(dir, "fetched")
		if err := Run(exec.CommandContext(ctx, mvn, "-B", "-q", mavenCopy, //nolint:gosec // mvn of the machine
			"-Dartifact="+a.Coordinates, "-DoutputDirectory="+fetched, "-Dmdep.useBaseVersion=true")); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(fetched, "*"))
		if err != nil || len(archives) != 1 {
			return errors.Join(err, fmt.Errorf("mvn fetched %d files for %s, not one", len(archives), a.Coordinates))
		}
		if err := a.check(archives[0]); err != nil {
			return err
		}
		return errors.Join(a.unpack(archives[0], dir), os.RemoveAll(fetched))
	})
}

func (a Artifact) check(archive string) (err error) {
	f, err := os.Open(archive) //nolint:gosec // in the cache
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != a.SHA256 {
		return fmt.Errorf("%s has the SHA-256 %s, not %s", a.Coordinates, got, a.SHA256)
	}
	return nil
}

func (a Artifact) unpack(archive, dir string) (err error) {
	f, err := os.Open(archive) //nolint:gosec // in the cache
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // a path that leads out of it is an error
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		_, path, _ := strings.Cut(strings.TrimPrefix(h.Name, "./"), "/")
		if h.Typeflag != tar.TypeReg || !a.keeps(path) {
			continue
		}
		if err := unpackFile(root, path, h.FileInfo().Mode(), t); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func (a Artifact) keeps(path string) bool {
	for _, k := range a.Keep {
		if path == k || strings.HasPrefix(path, k+"/") {
			return true
		}
	}
	return len(a.Keep) == 0
}

func unpackFile(root *os.Root, path string, mode fs.FileMode, content io.Reader) (err error) {
	if err := root.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode.Perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, content)
	return err
}
