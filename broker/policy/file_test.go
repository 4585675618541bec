package policy_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/policy"
)

func TestLoadReadsEachMatchOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"policy/b.cedar", "policy/a.cedar", "policy/notes.txt"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := policy.Load([]string{"policy/*.cedar", filepath.Join(dir, "policy", "a.*")}, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.File{
		{Name: "policy/a.cedar", Text: []byte("policy/a.cedar")},
		{Name: "policy/b.cedar", Text: []byte("policy/b.cedar")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big.cedar"), make([]byte, policy.MaxFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "dir.cedar"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling.cedar")); err != nil {
		t.Fatal(err)
	}
	for glob, want := range map[string]string{
		"[":              "syntax error in pattern",
		"none/*.cedar":   `nothing matches "none/*.cedar"`,
		"big.cedar":      "is not a regular file of at most",
		"dir.cedar":      "is not a regular file of at most",
		"dangling.cedar": "no such file",
	} {
		if _, err := policy.Load([]string{glob}, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", glob, err, want)
		}
	}
	if _, err := policy.Load([]string{"none/*"}, dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not ErrNotExist", err)
	}
}
