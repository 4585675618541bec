package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// TestAdoptedCopilotWorks adopts a copilot's configuration, serves what comes of it, and lets the
// official SDK start the adopted command as the copilot does.
func TestAdoptedCopilotWorks(t *testing.T) {
	t.Parallel()
	node, filesystem, python := need.Env(t, need.Node), need.Env(t, need.MCPFilesystem), need.Env(t, need.Python)
	h := newHome(t)
	files, err := filepath.EvalSymlinks(t.TempDir()) // the filesystem server compares resolved paths
	if err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(files, "note.txt")
	if err := os.WriteFile(note, []byte("buy tea"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(string(h), "claude_desktop_config.json")
	before := marshal(t, map[string]any{"mcpServers": map[string]any{"My Files": map[string]any{
		"command": node, "args": []string{filesystem, files}, "env": map[string]string{"FILES_TOKEN": "t0k3n-of-the-server"},
	}}})
	if err := os.WriteFile(config, before, 0o600); err != nil {
		t.Fatal(err)
	}
	broker, issuer := need.Address(t), need.Address(t)
	dir := filepath.Join(string(h), "adopted")
	h.must(t, []string{"adopt", "--yes", "--file", "claude-desktop=" + config, "--dir", dir, "--url", "http://" + broker, "--project", ""}, "my-files", "FILES_TOKEN")
	yaml := filepath.Join(dir, "deed.yaml")
	replaceIn(t, yaml, "127.0.0.1:8643", issuer)
	served := h.start(t, "serve", "--demo-issuer", "-c", yaml)
	awaitReady(t, "http://"+broker)

	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "stdio_client.py"), config, "My Files", "read_text_file", `{"path":"`+note+`"}`)
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+string(h)) // a copilot's own environment; the SDK passes little of it on
	said, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "buy tea") || !strings.Contains(string(said), `"write_file"`) {
		t.Errorf("the adopted copilot: %v\n%s\n%s", err, said, served.errs.String())
	}
	if out := h.must(t, []string{"history", "--as", "alice", "--url", "http://" + broker}, "my-files.read_text_file", "copilot"); strings.Contains(out, "t0k3n") {
		t.Errorf("the history has the server's secret:\n%s", out)
	}
	h.must(t, []string{"adopt", "--undo", "--dir", dir}, "is as it was")
	if after, err := os.ReadFile(config); err != nil || !bytes.Equal(after, before) {
		t.Errorf("undone, the file is %s, %v", after, err)
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func replaceIn(t *testing.T, path, was, is string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(text, []byte(was)) {
		t.Fatalf("%s does not say %s: %v", path, was, err)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(text, []byte(was), []byte(is)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// awaitReady waits until a broker is ready and its upstreams are.
func awaitReady(t *testing.T, url string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultTransport.RoundTrip(request); err == nil {
			var ready struct {
				Ready  bool `json:"ready"`
				Checks []struct {
					Name string `json:"name"`
					OK   bool   `json:"ok"`
				} `json:"checks"`
			}
			err := json.NewDecoder(response.Body).Decode(&ready)
			_ = response.Body.Close() // only read
			all := err == nil && ready.Ready
			for _, c := range ready.Checks {
				all = all && (c.OK || c.Name != "upstreams")
			}
			if all {
				return
			}
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the broker is not ready")
		}
	}
}
