package keycloak_test

import (
	"bufio"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// The official SDKs, which nobody has told anything but the broker's address and a client
// ID, find Keycloak, have a person log in, call, and come back for the scope that a
// refund needs.
func TestOfficialClientsLogInAndStepUp(t *testing.T) {
	t.Parallel()
	r := serve(t)
	for name, client := range map[string]func(t *testing.T, args ...string) *exec.Cmd{
		"Python": func(t *testing.T, args ...string) *exec.Cmd {
			t.Helper()
			return exec.CommandContext(t.Context(), need.Env(t, need.Python), append([]string{"clients/client.py"}, args...)...)
		},
		"TypeScript": typeScript,
		"Go":         golang,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scopes, calls := r.watch(t, client(t, r.url+"/mcp", "desktop"))
			if len(scopes) != 2 || !slices.Equal(scopes[0], []string{"tools"}) || !slices.Equal(scopes[1], []string{"payments:write", "tools"}) {
				t.Errorf("logged in for the scopes %q", scopes)
			}
			if len(calls) != 2 || calls[0].IsError || calls[1].IsError || !strings.Contains(calls[0].Text, "acc-ada") || calls[1].Tool != "payments__refund" {
				t.Errorf("called %+v", calls)
			}
		})
	}
}

type called struct {
	Tool    string `json:"tool"`
	IsError bool   `json:"isError"`
	Text    string `json:"text"`
}

// watch runs a client to its end, going wherever it sends the person, who is alice. It
// returns the scopes of each login, and the calls.
func (r *rig) watch(t *testing.T, cmd *exec.Cmd) (scopes [][]string, calls []called) {
	t.Helper()
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	complained := new(output)
	cmd.Stderr = complained
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(said)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if address, open := strings.CutPrefix(lines.Text(), "open "); open {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			asked := strings.Fields(u.Query().Get("scope"))
			slices.Sort(asked)
			scopes = append(scopes, asked)
			if got, want := u.Query().Get("resource"), r.url+"/mcp"; got != want {
				t.Errorf("a token for %q, want %q", got, want)
			}
			if err := r.signIn(t.Context(), "alice", address); err != nil {
				t.Error(err)
			}
			continue
		}
		var c called
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Errorf("it says %q", lines.Text())
		}
		calls = append(calls, c)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, complained)
	}
	return scopes, calls
}

// typeScript copies the script beside the SDK's modules, where Node looks for them.
func typeScript(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	node, modules := need.Env(t, need.Node), need.Env(t, need.TypeScriptSDK)
	dir := t.TempDir()
	for _, name := range []string{"client.ts", "package.json"} {
		text, err := os.ReadFile(filepath.Join("clients", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), node, append([]string{filepath.Join(dir, "client.ts")}, args...)...)
}

// golang builds the client.
func golang(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "client")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./clients/go")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the client: %v\n%s", err, said)
	}
	return exec.CommandContext(t.Context(), binary, args...)
}
