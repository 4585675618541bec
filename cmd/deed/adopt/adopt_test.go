package adopt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/cmd/deed/adopt"
)

var update = flag.Bool("update", false, "write the golden files anew")

// desk is a machine with clients' files where they belong.
type desk struct {
	adopt.Machine
	dir     string
	fixture map[string][]byte // by path
}

func newDesk(t *testing.T, clients ...string) *desk {
	t.Helper()
	home := t.TempDir()
	d := &desk{Machine: adopt.Machine{OS: "linux", Home: home}, dir: filepath.Join(home, ".config", "deed"), fixture: map[string][]byte{}}
	files, err := adopt.Find(d.Machine, clients)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text := read(t, filepath.Join("testdata", f.Client+".json"))
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.Path, text, 0o640); err != nil {
			t.Fatal(err)
		}
		d.fixture[f.Path] = text
	}
	return d
}

func (d *desk) plan(t *testing.T, clients ...string) *adopt.Plan {
	t.Helper()
	files, err := adopt.Find(d.Machine, clients)
	if err != nil {
		t.Fatal(err)
	}
	p, err := adopt.NewPlan(adopt.Options{
		Files: files, Dir: d.dir, Data: "/home/ada/.local/share/deed/desktop", Deed: "/usr/bin/deed", URL: "http://127.0.0.1:8642",
		Issuer: "http://127.0.0.1:8643/demo", Demo: true, Args: []string{"--as", "alice", "--agent", "copilot"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, path)), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// TestEachClient adopts from each client alone: its file, the configuration that comes of it, and back.
func TestEachClient(t *testing.T) {
	t.Parallel()
	for _, id := range adopt.Clients() {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, id)
			p := d.plan(t, id)
			for path, text := range d.fixture {
				if !bytes.Equal(read(t, path), text) {
					t.Fatal("planning has changed the file")
				}
			}
			if err := p.Apply(); err != nil {
				t.Fatal(err)
			}
			for path := range d.fixture {
				golden(t, id+".after", read(t, path))
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
					t.Errorf("the file's mode is %v, %v", info.Mode(), err)
				}
			}
			text := bytes.ReplaceAll(read(t, filepath.Join(d.dir, "deed.yaml")), []byte(d.dir), []byte("/home/ada/.config/deed"))
			golden(t, id+".yaml", text)
			cfg, err := config.Load(filepath.Join(d.dir, "deed.yaml"))
			if err != nil {
				t.Fatalf("the configuration is not valid: %v", err)
			}
			if len(cfg.Upstreams) != len(p.Upstreams) {
				t.Errorf("%d upstreams, want %d", len(cfg.Upstreams), len(p.Upstreams))
			}
			d.checkUndo(t)
		})
	}
}

func (d *desk) checkUndo(t *testing.T) {
	t.Helper()
	undone, err := adopt.Undo(d.dir)
	if err != nil || len(undone) != len(d.fixture) {
		t.Fatalf("%+v, %v", undone, err)
	}
	for path, text := range d.fixture {
		if !bytes.Equal(read(t, path), text) {
			t.Errorf("%s is not what it was:\n%s", path, read(t, path))
		}
	}
	if _, err := adopt.Undo(d.dir); err == nil {
		t.Error("it is undone twice")
	}
}

func TestAllTogether(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.plan(t)
	var names []string
	for _, u := range p.Upstreams {
		names = append(names, u.Name+" of "+strings.Join(u.Clients, ","))
	}
	want := []string{
		"filesystem of claude-desktop,cursor", "github of claude-desktop", "linear of claude-code", "sentry of claude-code", "db of claude-code",
		"docs of cursor", "remote of vscode", "weather of vscode", "figma of windsurf", "memory of windsurf",
		"mcp-server-context7 of zed", "old-form of zed", "events of gemini", "local of gemini", "stream of gemini",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("upstreams (-want +got):\n%s", diff)
	}
	left := map[string]string{}
	for _, l := range p.Left {
		left[l.Server] = l.Reason
	}
	if len(left) != 3 || left["asks"] == "" || left["intranet"] == "" || left["already"] == "" {
		t.Errorf("left are %v", left)
	}
	shown, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	config := string(read(t, filepath.Join(d.dir, "deed.yaml")))
	for _, secret := range []string{"ghp_0123456789", "s3cr3t", "sntrys_", "k-1", "n-1", "YWRhOnB3"} {
		if strings.Contains(string(shown), secret) || strings.Contains(config, secret) {
			t.Errorf("the secret %s is shown, or in deed.yaml", secret)
		}
	}
	d.checkFiles(t)
	if err := p.Apply(); !errors.Is(err, adopt.ErrExists) {
		t.Errorf("adopting again: %v, want ErrExists", err)
	}
	if again := d.plan(t); len(again.Upstreams) != 0 || len(again.Left) != 19 {
		t.Errorf("what is adopted is adopted again: %+v", again.Upstreams)
	}
	d.checkUndo(t)
}

// checkFiles looks at who can read what was written.
func (d *desk) checkFiles(t *testing.T) {
	t.Helper()
	if got := string(read(t, filepath.Join(d.dir, "secrets", "sentry.Authorization"))); got != "sntrys_eyJpYXQiOjE3" {
		t.Errorf("the secret of sentry is %q, want the bearer token alone", got)
	}
	err := filepath.WalkDir(d.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSecretsThatNothingCanHold tells of what looks like a secret in a command's arguments or a URL, and shows none of it.
func TestSecretsThatNothingCanHold(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "cursor")
	text := `{"mcpServers":{
		"slack":{"command":"npx","args":["-y","slack-mcp","--token","xoxb-1234-abcdef","--api-key=sk-ant-99","postgres://u:pw12@db/x","--port","80"],"env":{"KEY":"abc"}},
		"remote":{"url":"https://api.example.com/mcp?team=1&api_key=live_abcdef%2F0"},
		"file":{"command":"node","args":["b.js"],"envFile":"${workspaceFolder}/.env"}}}`
	if err := os.WriteFile(filepath.Join(d.Home, ".cursor", "mcp.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := d.plan(t, "cursor")
	got := map[string][]string{}
	for _, u := range p.Upstreams {
		got[u.Name] = u.Exposed
	}
	if diff := cmp.Diff(map[string][]string{"slack": {"--token", "--api-key", "argument 6"}, "remote": {"?api_key"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(p.Left) != 1 || p.Left[0].Server != "file" || !strings.Contains(p.Left[0].Reason, "file of environment variables") {
		t.Errorf("left are %+v", p.Left)
	}
	shown, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"xoxb", "1234-abcdef", "sk-ant", "pw12", "live_abc", `"abc"`} {
		if bytes.Contains(shown, []byte(secret)) {
			t.Errorf("%s is shown: %s", secret, shown)
		}
	}
	if err := p.Apply(); err != nil {
		t.Fatal(err)
	}
	yaml := filepath.Join(d.dir, "deed.yaml")
	if info, err := os.Stat(yaml); err != nil || info.Mode().Perm() != 0o600 || !bytes.Contains(read(t, yaml), []byte("xoxb-1234-abcdef")) {
		t.Errorf("deed.yaml: %v, %v", info, err)
	}
}

// TestUndoKeepsWhatWasChangedSince restores the servers in files that their clients have written meanwhile.
func TestUndoKeepsWhatWasChangedSince(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "claude-code")
	if err := d.plan(t, "claude-code").Apply(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.Home, ".claude.json")
	changed := bytes.Replace(read(t, path), []byte(`"numStartups": 184`), []byte(`"numStartups": 185`), 1)
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	undone, err := adopt.Undo(d.dir)
	if err != nil || len(undone) != 1 || undone[0].Exact {
		t.Fatalf("%+v, %v", undone, err)
	}
	want := bytes.Replace(d.fixture[path], []byte(`"numStartups": 184`), []byte(`"numStartups": 185`), 1)
	var got, expected any
	if err := errors.Join(json.Unmarshal(read(t, path), &got), json.Unmarshal(want, &expected)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	for os, want := range map[string][]string{
		"linux":   {".config/Claude/claude_desktop_config.json", ".claude.json", ".cursor/mcp.json", ".config/Code/User/mcp.json", ".codeium/windsurf/mcp_config.json", ".config/zed/settings.json", ".gemini/settings.json"},
		"darwin":  {"Library/Application Support/Claude/claude_desktop_config.json", ".claude.json", ".cursor/mcp.json", "Library/Application Support/Code/User/mcp.json", ".codeium/windsurf/mcp_config.json", ".config/zed/settings.json", ".gemini/settings.json"},
		"windows": {"AppData/Claude/claude_desktop_config.json", ".claude.json", ".cursor/mcp.json", "AppData/Code/User/mcp.json", ".codeium/windsurf/mcp_config.json", "AppData/Zed/settings.json", ".gemini/settings.json"},
	} {
		files, err := adopt.Find(adopt.Machine{OS: os, Home: "/home", AppData: "/home/AppData"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			got = append(got, strings.TrimPrefix(filepath.ToSlash(f.Path), "/home/"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", os, got, want)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{`:                       "is not JSON",
		`[]`:                      "is no JSON object",
		`{"mcpServers":[]}`:       "is no object of servers",
		"\xef\xbb\xbf{}":          "",
		``:                        "",
		`{"mcpServers":{"a":{}}}`: "",
	} {
		path := filepath.Join(t.TempDir(), "mcp.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := adopt.NewPlan(adopt.Options{Files: []adopt.File{{Client: "cursor", Path: path}}})
		if want == "" && (err != nil || len(p.Changes) != 0) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
