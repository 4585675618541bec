package servers_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents/demo"
)

const (
	writeFile = "filesystem__write_file"
	readFile  = "filesystem__read_text_file"
)

// clients are the official SDKs.
func clients() map[string]func(*testing.T) client {
	return map[string]func(*testing.T) client{"python": pythonClient, "typescript": typeScriptClient}
}

// TestClients lets each SDK call each server through this directory's configuration.
func TestClients(t *testing.T) {
	t.Parallel()
	d := serve(t, "200ms")
	for name, open := range clients() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			token := d.copilot(t)
			t.Run("list", func(t *testing.T) { checkLists(t, d, c, token) })
			t.Run("allowed", func(t *testing.T) { checkAllowed(t, d, c, token, name) })
			t.Run("answers", func(t *testing.T) { checkAnswers(t, d, c, token) })
			t.Run("denied", func(t *testing.T) { checkDenied(t, d, c, token) })
			t.Run("held", func(t *testing.T) { checkHeld(t, d, c, token, name) })
			t.Run("refused", func(t *testing.T) { checkRefused(t, d, c) })
		})
	}
}

// checkAnswers lets answers of other shapes than text through, untouched.
func checkAnswers(t *testing.T, d *deed, c client, token string) {
	t.Helper()
	weather := c.call(t, d, token, "everything__get-structured-content", map[string]any{"location": "Chicago"})
	if _, ok := weather.Structured["temperature"].(float64); weather.code != 0 || !ok {
		t.Errorf("structured content: %+v", weather)
	}
	image := c.call(t, d, token, "everything__get-tiny-image", map[string]any{})
	png := []byte("\x89PNG\r\n\x1a\n")
	i := slices.IndexFunc(image.Content, func(c content) bool { return c.Type == "image" })
	if i < 0 {
		t.Fatalf("an image: %+v", image)
	}
	if data, err := base64.StdEncoding.DecodeString(image.Content[i].Data); err != nil || !bytes.HasPrefix(data, png) {
		t.Errorf("the image is no PNG any more (%v)", err)
	}
	links := c.call(t, d, token, "everything__get-resource-links", map[string]any{"count": 2})
	if n := len(links.Content); links.code != 0 || n != 3 || links.Content[1].Type != "resource_link" {
		t.Errorf("links: %+v", links)
	}
	long := c.call(t, d, token, "everything__trigger-long-running-operation", map[string]any{"duration": 0.2, "steps": 2})
	if long.code != 0 || !strings.Contains(long.text(), "completed") {
		t.Errorf("long running: %+v", long)
	}
	research := c.call(t, d, token, "everything__simulate-research-query", map[string]any{"topic": "x"})
	t.Log(shown("research", nil, research), research)
}

func checkLists(t *testing.T, d *deed, c client, token string) {
	t.Helper()
	all := c.list(t, d, token)
	for _, name := range []string{writeFile, readFile, "everything__echo", "everything__get-sum", "deed__await"} {
		if all[name] == nil {
			t.Errorf("%s is not listed", name)
		}
	}
	for _, name := range []string{"filesystem__move_file", "everything__get-env", "write_file"} {
		if all[name] != nil {
			t.Errorf("%s is listed, and can never be called", name)
		}
	}
	one := c.list(t, d, token, "--upstream", "filesystem")
	if one["write_file"] == nil || one["read_text_file"] == nil || one["echo"] != nil || one[writeFile] != nil {
		t.Errorf("/mcp/filesystem does not list its own tools by their own names")
	}
	t.Logf("%d tools at /mcp, %d at /mcp/filesystem", len(all), len(one))
}

func checkAllowed(t *testing.T, d *deed, c client, token, name string) {
	t.Helper()
	draft, text := d.file("drafts", name+".txt"), "written by "+name+", ünïcode \\ \" too\n"
	args := map[string]any{"path": draft, "content": text}
	written := c.call(t, d, token, writeFile, args)
	t.Log(shown(writeFile, args, written))
	if written.code != 0 || written.IsError || fileText(t, draft) != text {
		t.Errorf("write: %+v; the file has %q", written, fileText(t, draft))
	}
	args = map[string]any{"path": draft}
	read := c.call(t, d, token, readFile, args)
	t.Log(shown(readFile, args, read))
	if read.code != 0 || read.text() != text {
		t.Errorf("read: %+v, want %q", read, text)
	}
	for _, tt := range []struct {
		tool string
		args map[string]any
		want string
	}{
		{"everything__echo", map[string]any{"message": name}, name},
		{"everything__get-sum", map[string]any{"a": 2, "b": 40.5}, "42.5"},
	} {
		if got := c.call(t, d, token, tt.tool, tt.args); got.code != 0 || !strings.Contains(got.text(), tt.want) {
			t.Errorf("%s: %+v, want %s", tt.tool, got, tt.want)
		}
	}
	if got := c.call(t, d, token, readFile, map[string]any{"path": d.file("none.txt")}); got.code != 1 || !got.IsError {
		t.Errorf("what the server itself refuses: %+v, want an error", got)
	}
}

func checkDenied(t *testing.T, d *deed, c client, token string) {
	t.Helper()
	secret := "-----BEGIN PRIVATE KEY-----"
	for _, tt := range []struct {
		name, tool, policy string
		args               map[string]any
	}{
		{"path", writeFile, "drafts-and-published", map[string]any{"path": d.file("notes.txt"), "content": "x"}},
		{"path that climbs", writeFile, "drafts-and-published", map[string]any{"path": d.file() + "/drafts/../notes.txt", "content": "x"}},
		{"relative path", writeFile, "drafts-and-published", map[string]any{"path": "drafts/notes.txt", "content": "x"}},
		{"content", writeFile, "no-keys-in-files", map[string]any{"path": d.file("drafts", "notes.txt"), "content": secret}},
		{"tool", "filesystem__create_directory", "changes-by-write-file", map[string]any{"path": d.file("drafts", "notes.txt")}},
		{"other server's tool", "everything__get-env", "no-environment", map[string]any{}},
	} {
		got := c.call(t, d, token, tt.tool, tt.args)
		t.Log(shown(tt.tool, tt.args, got))
		if got.code != 1 || !got.IsError || !strings.HasPrefix(got.text(), "denied: ") || !strings.Contains(got.text(), tt.policy) {
			t.Errorf("%s: %+v, want a denial by %s", tt.name, got, tt.policy)
		}
	}
	for _, file := range []string{d.file("notes.txt"), d.file("drafts", "notes.txt"), d.path("drafts")} {
		if _, err := os.Stat(file); err == nil {
			t.Errorf("%s exists: what was denied was done", file)
		}
	}
}

// checkHeld picks one call up by repeating it, and one by deed__await; one is approved
// over HTTP, one by the CLI.
func checkHeld(t *testing.T, d *deed, c client, token, name string) {
	t.Helper()
	first := map[string]any{"path": d.file("published", name+"-1.txt"), "content": "one"}
	id := c.held(t, d, token, first)
	if _, err := os.Stat(d.file("published", name+"-1.txt")); err == nil {
		t.Error("the held call was run")
	}
	d.approve(t, id)
	again := c.call(t, d, token, writeFile, first)
	t.Log(shown(writeFile, first, again))
	if again.code != 0 || fileText(t, d.file("published", name+"-1.txt")) != "one" {
		t.Errorf("repeated: %+v, want what the approved call answered", again)
	}

	second := map[string]any{"path": d.file("published", name+"-2.txt"), "content": "two"}
	id = c.held(t, d, token, second)
	if out, code := d.cli(t, "", "approve", id, "--yes", "--as", "alice"); code == 0 || !strings.Contains(out, "four-eyes") {
		t.Errorf("alice approves what is done in her name: exit code %d\n%s", code, out)
	}
	if out, code := d.cli(t, "", "approve", id, "--yes", "--as", "bob"); code != 0 {
		t.Errorf("deed approve: exit code %d\n%s", code, out)
	} else {
		t.Logf("$ deed approve %s --yes --as bob\n%s", id, out)
	}
	awaited := c.call(t, d, token, "deed__await", map[string]any{"call_id": id})
	t.Log(shown("deed__await", map[string]any{"call_id": id}, awaited))
	if awaited.code != 0 || fileText(t, d.file("published", name+"-2.txt")) != "two" {
		t.Errorf("awaited: %+v, want what the approved call answered", awaited)
	}
	if awaited.text() == "" || awaited.text() == again.text() {
		t.Errorf("both calls answered %q", awaited.text())
	}
}

func checkRefused(t *testing.T, d *deed, c client) {
	t.Helper()
	expired := d.token(t, demo.TokenRequest{User: "alice", Agents: []string{demo.Copilot}, Expired: true})
	for name, token := range map[string]string{"expired": expired, "malformed": "nonsense"} {
		got, err := c.run(t.Context(), d, token, "list")
		if err != nil || got.code != 3 || !strings.Contains(got.err, "401 Bearer") {
			t.Errorf("%s token: %v, exit code %d, want 3\n%s%s", name, err, got.code, got.out, got.err)
		}
		t.Logf("%s token: %s", name, got.err)
	}
	got, err := c.run(t.Context(), d, d.copilot(t), "call", writeFile, `{"path": 7, "content": "x"}`)
	if err != nil || got.code != 1 || !strings.Contains(got.out+got.err, "path") {
		t.Errorf("arguments that do not fit: %v, exit code %d, want 1\n%s%s", err, got.code, got.out, got.err)
	}
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}
