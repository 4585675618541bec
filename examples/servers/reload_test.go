package servers_test

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestReload changes the policy of a running server.
func TestReload(t *testing.T) {
	t.Parallel()
	d := serve(t, "200ms")
	c, token := pythonClient(t), d.copilot(t)
	write := func(name string) answer {
		return c.call(t, d, token, writeFile, map[string]any{"path": d.file(name, "a.txt"), "content": "x"})
	}
	if got := write("drafts"); got.code != 0 {
		t.Fatalf("before: %+v", got)
	}

	d.edit(t, `@id("no-keys-in-files")`, `@id("frozen") @reason("No drafts today.")
forbid (principal, action == Action::"filesystem.write_file", resource) when { context.input.path like "*/drafts/*" };

@id("no-keys-in-files")`)
	d.signal(t, syscall.SIGHUP)
	d.awaitLog(t, `"msg":"reloaded"`)
	if got := write("drafts"); got.code != 1 || !strings.Contains(got.text(), "frozen") {
		t.Errorf("under the new policy: %+v", got)
	}

	d.edit(t, "context.input.content like", "context.input.contents like", "No drafts today", "No drafts this week")
	d.signal(t, syscall.SIGHUP)
	line := d.awaitLog(t, `"not reloaded, what was in force stays"`)
	t.Log(line)
	if out, code := d.cli(t, "", "policy", "check", "-c", d.path("deed.yaml")); code != 2 || !strings.Contains(out, "did you mean content?") {
		t.Errorf("deed policy check: exit code %d\n%s", code, out)
	}
	for _, want := range []string{"servers.cedar:", "no-keys-in-files", "contents"} {
		if !strings.Contains(line, want) {
			t.Errorf("the log says nothing of %q: %s", want, line)
		}
	}
	if got := write("drafts"); got.code != 1 || !strings.Contains(got.text(), "No drafts today") {
		t.Errorf("under the policy that stayed: %+v", got)
	}
}

// edit replaces words of the policy.
func (d *deed) edit(t *testing.T, oldNew ...string) {
	t.Helper()
	path := d.path("policy", "servers.cedar")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.NewReplacer(oldNew...).Replace(string(text))
	if bytes.Equal(text, []byte(edited)) {
		t.Fatal("the edit changes nothing")
	}
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
}
