package keycloak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/cmd/provide/keycloak"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// patience is how long a test waits for what must happen, on a busy machine.
const patience = 2 * time.Minute

// rig is this directory's configuration, served by a real process, and a realm of its own.
type rig struct {
	binary, dir, url string
	realm            *need.Realm
	provider         *login.Provider
	http             http.Client
	stop, kill       func() // the broker
}

// serve imports the realm and starts the broker.
func serve(t *testing.T) *rig {
	t.Helper()
	r := prepare(t)
	r.configure(t, map[string]string{"every: 10s": "every: 1s"})
	r.start(t)
	return r
}

// prepare imports the realm.
func prepare(t *testing.T) *rig {
	t.Helper()
	r := &rig{dir: t.TempDir(), url: "http://" + need.Address(t), http: http.Client{Timeout: patience}}
	r.realm, r.binary = need.KeycloakRealm(t, "realm.json", r.url), need.Deed(t)
	var err error
	if r.provider, err = login.Discover(t.Context(), nil, r.realm.Issuer); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"policy", "ledger"} {
		if err := os.Mkdir(filepath.Join(r.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// configure copies the example's configuration and policy, for this realm and broker and
// with what else must be replaced.
func (r *rig) configure(t *testing.T, replaced map[string]string) {
	t.Helper()
	all := map[string]string{"http://127.0.0.1:8180/realms/deed": r.realm.Issuer, "wait: 45s": "wait: 1s"}
	maps.Copy(all, replaced)
	all["127.0.0.1:8642"] = strings.TrimPrefix(r.url, "http://")
	r.copy(t, "policy/acme.cedar", nil)
	r.copy(t, "deed.yaml", all)
}

// copy copies a file of this directory, with what must be replaced at least once.
func (r *rig) copy(t *testing.T, name string, replaced map[string]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range replaced {
		if !bytes.Contains(text, []byte(was)) {
			t.Fatalf("%s does not say %s any more", name, was)
		}
		text = bytes.ReplaceAll(text, []byte(was), []byte(is))
	}
	if err := os.WriteFile(filepath.Join(r.dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// start starts the broker until the test ends, or it is stopped.
func (r *rig) start(t *testing.T) {
	t.Helper()
	said := new(output)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), r.binary, "serve", "-c", filepath.Join(r.dir, "deed.yaml"))
	cmd.Env = r.env("DEED_KEYCLOAK_SECRET=change-me-broker")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("stop deed: %v", err)
			}
			if err := <-exited; err != nil || t.Failed() {
				t.Logf("deed ended with %v and said:\n%s", err, said)
			}
		})
	}
	r.stop = stop
	r.kill = func() {
		once.Do(func() {
			if err := cmd.Process.Kill(); err != nil {
				t.Errorf("kill deed: %v", err)
			}
			if err := <-exited; err == nil {
				t.Error("deed was killed, and ended well")
			}
		})
	}
	t.Cleanup(stop)
	r.await(t, "the broker is ready", func() bool {
		status, _, _ := r.get(t, "/readyz", "")
		return status == http.StatusOK
	})
}

func (r *rig) env(more ...string) []string {
	return append(os.Environ(), append([]string{"XDG_DATA_HOME=" + filepath.Join(r.dir, "share"), "DEED_URL=" + r.url, "DEED_TOKEN="}, more...)...)
}

// await asks again and again until so is true.
func (r *rig) await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// person logs somebody in, who has their name for a password, by code and PKCE.
func (r *rig) person(t *testing.T, user, client string, scopes ...string) *login.Token {
	t.Helper()
	return r.personBy(t, &keycloak.Browser{User: user, Password: user}, client, nil, scopes...)
}

// personBy logs in whoever sits before a browser, with more parameters.
func (r *rig) personBy(t *testing.T, b *keycloak.Browser, client string, more url.Values, scopes ...string) *login.Token {
	t.Helper()
	c := login.Client{Provider: r.provider, ID: client}
	token, err := c.CodeFlow(t.Context(), login.CodeRequest{
		Target:     login.Target{Scopes: append([]string{"openid"}, scopes...), Resource: r.url + "/mcp"},
		AuthParams: more,
		Show:       func(ctx context.Context, address string) error { return r.visit(ctx, b, address) },
	})
	if err != nil {
		t.Fatalf("log %s in at %s: %v", b.User, client, err)
	}
	return token
}

// signIn goes to Keycloak's page as user, and back to where it sends the browser.
func (r *rig) signIn(ctx context.Context, user, address string) error {
	return r.visit(ctx, &keycloak.Browser{User: user, Password: user}, address)
}

func (r *rig) visit(ctx context.Context, b *keycloak.Browser, address string) error {
	back, err := b.Visit(ctx, address)
	if err != nil || back == "" {
		return errors.Join(err, errors.New("the browser is sent nowhere"))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, back, nil)
	if err != nil {
		return err
	}
	response, err := r.http.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// agent is the client of an agent with its secret.
func (r *rig) agent(name string) *login.Client {
	return &login.Client{Provider: r.provider, ID: name, Secret: login.Secret("change-me-" + name)}
}

// acting is a token with which an agent acts for the holder of another.
func (r *rig) acting(t *testing.T, agent string, subject *login.Token, scopes ...string) *login.Token {
	t.Helper()
	token, err := r.agent(agent).Exchange(t.Context(), subject.Access, login.Target{Scopes: scopes})
	if err != nil {
		t.Fatalf("%s exchanges a token: %v", agent, err)
	}
	return token
}

// reply is what a tools/call came to.
type reply struct {
	status    int
	challenge string
	Result    struct {
		IsError bool `json:"isError"`
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
		Meta map[string]any `json:"_meta"`
	} `json:"result"`
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
	body string
}

func (r reply) callID() string {
	id, _ := r.Result.Meta["dev.deed/call_id"].(string)
	return id
}

// call calls a tool with revision 2026-07-28.
func (r *rig) call(t *testing.T, token *login.Token, tool, arguments string) reply {
	t.Helper()
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + `,"_meta":{
		"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"test","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`
	status, header, text := r.do(t, http.MethodPost, "/mcp", string(token.Access), body, http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {tool},
	})
	answer := reply{status: status, challenge: header.Get("WWW-Authenticate"), body: text}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%d %s", status, text)
	}
	return answer
}

func (r *rig) get(t *testing.T, path, token string) (status int, header http.Header, body string) {
	t.Helper()
	return r.do(t, http.MethodGet, path, token, "", nil)
}

// do sends a request to the broker; the status is 0 if it is not there.
func (r *rig) do(t *testing.T, method, path, token, body string, header http.Header) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		request.Header = header
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := r.http.Do(request)
	if _, refused := errors.AsType[*url.Error](err); refused {
		return 0, nil, ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// admin uses Keycloak's admin API in the realm.
func (r *rig) admin(t *testing.T, method, path string, body, into any) {
	t.Helper()
	if err := r.realm.Admin.Do(t.Context(), method, "/"+r.realm.Name+path, body, into); err != nil {
		t.Fatal(err)
	}
}

// output is what a process says.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String is everything so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
