package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/agents/client"
)

const (
	plantedKey    = "planted-api-key-4711"
	plantedClient = "planted-client-secret-4712"
	plantedEnv    = "planted-in-the-environment-4713"
)

// guarded is an MCP server that notes what it is shown.
type guarded struct {
	*httptest.Server
	mu    sync.Mutex
	shown map[string]bool // guarded by mu
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{shown: map[string]bool{}}
	m := mcpserver.NewMCPServer("guarded", "1")
	m.AddTool(mcp.NewTool("ping"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("pong"), nil
	})
	inner := mcpserver.NewStreamableHTTPServer(m)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.shown[r.Header.Get("Authorization")+r.Header.Get("X-Key")] = true
		g.mu.Unlock()
		for name := range r.Header {
			if name != "Authorization" && name != "X-Key" && strings.Contains(strings.Join(r.Header[name], ""), "eyJ") {
				t.Errorf("a token travels in %s", name)
			}
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *guarded) saw(value string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shown[value]
}

// tokens is an authorization server that exchanges.
func tokens(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := "own"
		if r.PostFormValue("subject_token") != "" {
			kind = "exchanged"
		}
		if _, secret, _ := r.BasicAuth(); secret != plantedClient {
			kind = "refused"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": kind + "-token-4714", "expires_in": 3600})
	}))
	t.Cleanup(s.Close)
	return s
}

// TestSecretsStayOut plants secrets of each kind, has calls made with them, and looks for
// them in all that the broker writes, says and starts.
func TestSecretsStayOut(t *testing.T) { // not in parallel: it sets an environment variable
	t.Setenv("DEED_PLANTED", plantedEnv)
	rig := newRig(t)
	rig.write(t, `permit (principal, action, resource);
@id("ask") @approvers("lead") forbid (principal, action == Action::"held.ping", resource) unless { context.approvals.count >= 1 };`)
	byFile, byEnv, exchanged, held, idp := newGuarded(t), newGuarded(t), newGuarded(t), newGuarded(t), tokens(t)
	for name, text := range map[string]string{"key": plantedKey, "client": plantedClient} {
		if err := os.WriteFile(filepath.Join(rig.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exchange := `{ exchange: { audience: pay, token_url: ` + idp.URL + `, client_id: deed, client_secret: "file://` + filepath.Join(rig.dir, "client") + `" } }`
	rig.upstreams = `
  file: { domain: payments, url: ` + byFile.URL + `/mcp, auth: { secret: "file://` + filepath.Join(rig.dir, "key") + `", header: X-Key } }
  env: { domain: payments, url: ` + byEnv.URL + `/mcp, auth: { secret: "env://DEED_PLANTED" } }
  swap: { domain: payments, url: ` + exchanged.URL + `/mcp, auth: ` + exchange + ` }
  held: { domain: payments, url: ` + held.URL + `/mcp, auth: ` + exchange + ` }
  child: { domain: payments, command: [sleep, "600"] }
`
	r := rig.start(t)
	token := r.agent("s-1")
	agent, err := client.New(client.Options{URL: r.url(), Token: func(context.Context) (string, error) { return token, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = agent.Close() }) // the server may be gone
	for _, tool := range []string{"file.ping", "env.ping", "swap.ping"} {
		if _, err := agent.Call(t.Context(), tool, nil, client.CallOptions{}); err != nil {
			t.Fatalf("%s: %v", tool, err)
		}
	}
	if !byFile.saw(plantedKey) || !byEnv.saw("Bearer "+plantedEnv) || !exchanged.saw("Bearer exchanged-token-4714") || !exchanged.saw("Bearer own-token-4714") {
		t.Error("an upstream was not shown its credential")
	}
	for _, g := range []*guarded{byFile, byEnv, exchanged, held} {
		if g.saw("Bearer " + token) {
			t.Error("the caller's own token travelled upstream")
		}
	}
	waits, err := agent.Call(t.Context(), "held.ping", nil, client.CallOptions{})
	if err != nil || waits.Pending == nil {
		t.Fatalf("not held: %+v, %v", waits, err)
	}
	body := r.approve(t, waits.Pending.CallID)
	if !strings.Contains(body, "no_credential") && !strings.Contains(body, "is not kept while a call is held") {
		_, body = r.get(t, "/v1/calls/"+waits.Pending.CallID, r.bob())
		if !strings.Contains(body, "is not kept while a call is held") {
			t.Errorf("a held call without its caller became %s", body)
		}
	}
	secrets := []string{plantedKey, plantedClient, plantedEnv, "token-4714", token, strings.Split(token, ".")[2]}
	lookAtProcesses(t, secrets)
	r.stop(t)
	lookAtFiles(t, rig.dir, secrets)
	for _, secret := range secrets {
		if strings.Contains(rig.logged.String(), secret) {
			t.Errorf("the log says %.12s…", secret)
		}
	}
	if !lookAtFile(t, filepath.Join(rig.dir, "data"), "file://"+filepath.Join(rig.dir, "key")) {
		t.Error("no event refers to the credential that was used")
	}
}

// approve casts bob's vote, and waits for what comes of it.
func (r *running) approve(t *testing.T, id string) string {
	t.Helper()
	_, body := r.get(t, "/v1/calls/"+id, r.bob())
	var c struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatal(err)
	}
	response := r.send(t, http.MethodPost, "/v1/calls/"+id+"/approvals", r.bob(), `{"verdict":"approve","digest":"`+c.Digest+`"}`)
	var b bytes.Buffer
	if _, err := b.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for state, _ := r.state(t, id); state != "closed"; state, _ = r.state(t, id) {
		if time.Now().After(deadline) {
			t.Fatalf("the call stays %s", state)
		}
	}
	return b.String()
}

// lookAtProcesses looks into the environment and the arguments of the broker's children.
func lookAtProcesses(t *testing.T, secrets []string) {
	t.Helper()
	children := 0
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range entries {
		status, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue // it is over
		}
		fields := strings.Fields(string(status[bytes.LastIndexByte(status, ')')+1:]))
		if fields[1] != jsonNumber(os.Getpid()) {
			continue
		}
		children++
		for _, name := range []string{"environ", "cmdline"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Error(err)
			}
			for _, secret := range secrets {
				if bytes.Contains(text, []byte(secret)) {
					t.Errorf("%s of a child holds %.12s…", name, secret)
				}
			}
		}
	}
	if children == 0 {
		t.Error("there is no child to look at")
	}
}

func jsonNumber(n int) string {
	b, _ := json.Marshal(n) // always
	return string(b)
}

func lookAtFiles(t *testing.T, dir string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if lookAtFile(t, filepath.Join(dir, "data"), secret) {
			t.Errorf("the data hold %.12s…", secret)
		}
	}
}

// lookAtFile looks for text in all files below dir.
func lookAtFile(t *testing.T, dir, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		found = found || bytes.Contains(b, []byte(text))
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}
