package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// MaxFileBytes is the largest policy file that [Load] reads.
const MaxFileBytes = 1 << 20

// File is one file of Cedar policies.
type File struct {
	Name string // as it appears in findings and default policy ids; slash-separated, relative where it can be
	Text []byte
}

// Load reads the files that match any of globs (the syntax of
// [path/filepath.Match]), taken relative to baseDir, each once and ordered by
// name. A glob that matches nothing is an error: a misspelt path must not end
// in a broker without its policies.
func Load(globs []string, baseDir string) ([]File, error) {
	paths, err := expand(globs, baseDir)
	if err != nil {
		return nil, err
	}
	files := make([]File, 0, len(paths))
	for _, p := range paths {
		f, err := read(p, baseDir)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func expand(globs []string, baseDir string) ([]string, error) {
	var paths []string
	for _, g := range globs {
		full := g
		if !filepath.IsAbs(g) {
			full = filepath.Join(baseDir, g)
		}
		found, err := filepath.Glob(full)
		if err != nil {
			return nil, fmt.Errorf("load policies: pattern %q: %w", g, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("load policies: %w: nothing matches %q", fs.ErrNotExist, g)
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func read(path, baseDir string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, fmt.Errorf("load policies: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > MaxFileBytes {
		return File{}, fmt.Errorf("load policies: %s is not a regular file of at most %d bytes", path, MaxFileBytes)
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the policy files
	if err != nil {
		return File{}, fmt.Errorf("load policies: %w", err)
	}
	name, err := filepath.Rel(baseDir, path)
	if err != nil || strings.HasPrefix(name, "..") {
		name = path
	}
	return File{Name: filepath.ToSlash(name), Text: text}, nil
}

// Digest is the hex SHA-256 over names and texts of files, whatever their order:
// the policy_set of a decision.
func Digest(files []File) string {
	h := sha256.New()
	part := func(b []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	part([]byte("deed policy set v1"))
	for _, f := range byName(files) {
		part([]byte(f.Name))
		part(f.Text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func byName(files []File) []File {
	sorted := slices.Clone(files)
	slices.SortFunc(sorted, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}
