package files_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/files"
	"github.com/deedbroker/deed/tools/toolstest"
)

// open is an upstream over dir, and what a call of it answers.
func open(t *testing.T, dir string, o files.Options) (*files.Files, func(tool string, arguments map[string]string) tools.Answer) {
	t.Helper()
	f, err := files.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, func(tool string, arguments map[string]string) tools.Answer {
		t.Helper()
		raw, err := json.Marshal(arguments)
		if err != nil {
			t.Fatal(err)
		}
		a, err := f.Call(t.Context(), tools.Call{ID: "1", Tool: tool, Arguments: raw})
		if err != nil {
			t.Fatalf("%s: %v", tool, err)
		}
		return a
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesKeepTheContract(t *testing.T) {
	t.Parallel()
	toolstest.Run(t, func(t *testing.T) toolstest.Subject {
		t.Helper()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a.txt"), "hello")
		f, _ := open(t, dir, files.Options{})
		return toolstest.Subject{
			Upstream: f,
			Succeeds: toolstest.Case{Tool: "read_file", Arguments: `{"path":"a.txt"}`, Want: `"text":"hello"`},
			Fails:    &toolstest.Case{Tool: "read_file", Arguments: `{"path":"b.txt"}`, Want: "no such file"},
			Refuses:  &toolstest.Case{Tool: "read_file", Arguments: `{"path":5}`},
		}
	})
}

func TestWriteReadListDelete(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, call := open(t, dir, files.Options{})
	call("write_file", map[string]string{"path": "notes/today.txt", "content": "first, and longer"})
	call("write_file", map[string]string{"path": "notes/today.txt", "content": "second"})
	if a := call("read_file", map[string]string{"path": "notes/./today.txt"}); !strings.Contains(string(a.Raw), `"text":"second"`) {
		t.Errorf("read %s, want what was written last", a.Raw)
	}
	list := string(call("list_directory", map[string]string{"path": "notes"}).Raw)
	if !strings.Contains(list, `"entries":[{"name":"today.txt","type":"file","size":6`) || !strings.Contains(list, `"truncated":false`) {
		t.Errorf("list %s, want the one file", list)
	}
	call("delete_file", map[string]string{"path": "notes/today.txt"})
	if _, err := os.Lstat(filepath.Join(dir, "notes", "today.txt")); !os.IsNotExist(err) {
		t.Errorf("after delete_file: %v, want that it does not exist", err)
	}
}

func TestNothingLeadsOut(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret.txt")
	write(t, secret, "the secret")
	dir := t.TempDir()
	for name, target := range map[string]string{"link": secret, "links": outside, "up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, call := open(t, dir, files.Options{})
	for _, path := range []string{secret, "../" + filepath.Base(outside) + "/secret.txt", "link", "links/secret.txt", "up/" + filepath.Base(outside) + "/secret.txt", "a/../../x", "nul\x00l"} {
		for _, tool := range []string{"read_file", "write_file", "list_directory"} {
			arguments := map[string]string{"path": path}
			if tool == "write_file" {
				arguments["content"] = "overwritten"
			}
			a := call(tool, arguments)
			if !a.IsError || strings.Contains(string(a.Raw), "the secret") || strings.Contains(string(a.Raw), outside) {
				t.Errorf("%s %q answered %s", tool, path, a.Raw)
			}
		}
	}
	for _, path := range []string{secret, "links/secret.txt", "up", "."} {
		call("delete_file", map[string]string{"path": path})
	}
	if got, err := os.ReadFile(secret); err != nil || string(got) != "the secret" {
		t.Errorf("the file outside is %q, %v", got, err)
	}
}

func TestOnlyRegularTextFilesWithinTheLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "large.txt"), strings.Repeat("x", 11))
	write(t, filepath.Join(dir, "fits.txt"), strings.Repeat("x", 10))
	write(t, filepath.Join(dir, "binary"), "\xff\xfe")
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, call := open(t, dir, files.Options{MaxFile: 10, MaxEntries: 3})
	for path, want := range map[string]string{
		"large.txt": "larger than 10 bytes", "binary": "not UTF-8", "directory": "not a regular file", "pipe": "not a regular file",
	} {
		if a := call("read_file", map[string]string{"path": path}); !a.IsError || !strings.Contains(string(a.Raw), want) {
			t.Errorf("read_file %s answered %s, want %q", path, a.Raw, want)
		}
	}
	if a := call("read_file", map[string]string{"path": "fits.txt"}); a.IsError {
		t.Errorf("a file at the limit: %s", a.Raw)
	}
	if a := call("write_file", map[string]string{"path": "new.txt", "content": strings.Repeat("x", 11)}); !a.IsError {
		t.Errorf("writing beyond the limit: %s", a.Raw)
	}
	for _, path := range []string{"pipe", "directory"} {
		if a := call("write_file", map[string]string{"path": path, "content": "x"}); !a.IsError {
			t.Errorf("writing to %s: %s", path, a.Raw)
		}
	}
	if list := string(call("list_directory", map[string]string{"path": "."}).Raw); !strings.Contains(list, `"truncated":true`) || strings.Count(list, `"modified"`) != 3 {
		t.Errorf("list %s, want 3 of 5 entries", list)
	}
}

func TestDefinitionsSayWhatDestroys(t *testing.T) {
	t.Parallel()
	f, _ := open(t, t.TempDir(), files.Options{})
	raws, err := f.Definitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"read_file": false, "list_directory": false, "write_file": true, "delete_file": true}
	for _, raw := range raws {
		d, err := tools.ParseDefinition(raw)
		if err != nil {
			t.Fatal(err)
		}
		if destroys := d.Annotations.Destructive != nil && *d.Annotations.Destructive; destroys != want[d.Name] {
			t.Errorf("%s: destructive %v, want %v", d.Name, destroys, want[d.Name])
		}
	}
}
