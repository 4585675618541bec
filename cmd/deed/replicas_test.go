package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/cmd/deed/api"
	keys "github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

const replicaPolicy = `
permit (principal in Role::"support", action in Action::"work", resource);
permit (principal in Role::"assistant", action in Action::"work", resource);
@id("ask") @approvers("lead") @expires("30m") @reason("Somebody has to look.")
forbid (principal, action == Action::"work.do", resource)
when { context.input.ask } unless { context.approvals.count >= 1 };
permit (principal in Role::"lead", action in [Action::"approve", Action::"read", Action::"revoke", Action::"erase", Action::"rotate"], resource);
`

// workTime is how long a call takes at least, so that whoever is killed leaves some open.
const workTime = 20 * time.Millisecond

// worker is an upstream that remembers what it did. It outlives the replicas.
type worker struct {
	mu   sync.Mutex
	done map[string]int // guarded by mu: by the token of the attempt
}

func (w *worker) start(t *testing.T) (url string) {
	t.Helper()
	s := server.NewMCPServer("work", "1", server.WithToolCapabilities(true))
	s.AddTool(mcp.NewTool("do", mcp.WithString("token", mcp.Required()), mcp.WithBoolean("ask", mcp.Required())),
		func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			rest(workTime)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.done[r.GetString("token", "")]++
			return mcp.NewToolResultText("done " + r.GetString("token", "")), nil
		})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: server.NewStreamableHTTPServer(s, server.WithStateLess(true)), ReadHeaderTimeout: patience}
	go func() { _ = h.Serve(l) }()      // until it is closed
	t.Cleanup(func() { _ = h.Close() }) // whoever is still served is gone
	return "http://" + l.Addr().String() + "/mcp"
}

func (w *worker) times() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.done)
}

// fleet is several brokers on one Pulsar, with authorization on.
type fleet struct {
	home     home
	pulsar   *keys.Standalone // or
	cluster  *keys.Cluster
	tenant   *pulsartest.Tenant
	issuer   *agentstest.Issuer
	key      *seal.Key
	worker   *worker
	load     *load
	replicas []*replicaProcess
	mayEnd   map[*replicaProcess]bool // those whose place others may take, since they were stopped
}

// replicaProcess is a `deed serve`, as often as it is started.
type replicaProcess struct {
	name, url, config string
	agent             *client.Client // copilot, for alice
	bob               *api.Client

	mu  sync.Mutex
	run *process // guarded by mu; nil while it is to stay down
}

// keepAlive is how many seconds Pulsar and its clients are silent before the one asks
// the other whether it is there.
const keepAlive = "8"

func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	p := need.OwnPulsar(t, map[string]string{"keepAliveIntervalSeconds": keepAlive})
	f := newFleetOn(t, n, p.URL(), p.Admin(), p.Keys)
	f.pulsar = p
	return f
}

func newFleetOn(t *testing.T, n int, url, admin string, in keys.Keys) *fleet {
	t.Helper()
	f := &fleet{home: newHome(t), worker: &worker{done: map[string]int{}}, mayEnd: map[*replicaProcess]bool{}}
	f.tenant = pulsartest.In(t, url, admin, in, pulsartest.Layout{Domains: []string{"work"}, Partitions: 2})
	var addresses []string
	for range n {
		addresses = append(addresses, need.Address(t))
	}
	canonical := "http://" + addresses[0]
	f.issuer = agentstest.Start(t, canonical+"/mcp")
	keyFile := filepath.Join(string(f.home), "keys", "checkpoints.key")
	var err error
	if f.key, err = seal.CreateKey(keyFile, f.tenant.Name); err != nil {
		t.Fatal(err)
	}
	work := f.worker.start(t)
	if err := os.WriteFile(filepath.Join(string(f.home), "all.cedar"), []byte(replicaPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, address := range addresses {
		name := "r" + fmt.Sprint(i)
		path := filepath.Join(string(f.home), name+".yaml")
		text := fmt.Sprintf(`
listen: %s
url: %s
tenant: %s
data: %s
log: { pulsar: { url: %q, admin: %q, auth: { token_file: %s }, seal_key: %s } }
issuers: [{ url: %s, people_clients: [console] }]
policies: [all.cedar]
domains: { work: { partitions: 2 } }
agents: { copilot: { roles: [assistant] } }
holds: { wait: 1s, max_open: 1000 }
limits: { calls_per_agent: 100000/s }
upstreams: { work: { domain: work, url: %s } }
`, address, canonical, f.tenant.Name, name, url, admin, f.tenant.TokenFile, keyFile, f.issuer.URL, work)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := &replicaProcess{name: name, url: "http://" + address, config: path}
		f.client(t, r)
		f.start(t, r)
		f.replicas = append(f.replicas, r)
	}
	for _, r := range f.replicas {
		f.awaitReady(t, r)
	}
	return f
}

func (f *fleet) client(t *testing.T, r *replicaProcess) {
	t.Helper()
	agent := func() string {
		return f.issuer.Token(f.issuer.DelegatedClaims("alice", "copilot").With(agentstest.Claims{"roles": []string{"support"}}))
	}
	person := func() string { return f.issuer.Token(f.issuer.PersonClaims("bob", "console", "lead")) }
	say := func(mint func() string) client.TokenFunc { // a new one each minute: a hunt can be long
		var mu sync.Mutex // guards the others
		var token string
		var until time.Time
		return func(context.Context) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			if now := time.Now(); now.After(until) {
				token, until = mint(), now.Add(time.Minute)
			}
			return token, nil
		}
	}
	var err error
	if r.agent, err = client.New(client.Options{URL: r.url, Token: say(agent)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.agent.Close() }) // the replica is gone
	r.bob = api.New(r.url, say(person))
}

func (f *fleet) start(t *testing.T, r *replicaProcess) {
	t.Helper()
	run := f.home.start(t, "serve", "-c", r.config, "--replica", r.name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run = run
}

func (r *replicaProcess) process() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.run
}

// end kills a replica, which stays down until it is started again.
func (r *replicaProcess) end(t *testing.T) {
	t.Helper()
	run := r.process()
	r.mu.Lock()
	r.run = nil
	r.mu.Unlock()
	run.kill(t)
}

// supervise starts again what has ended by itself, as systemd or Kubernetes would. Only a
// replica that was stopped for long may have: another has taken its place.
func (f *fleet) supervise(t *testing.T) {
	t.Helper()
	for _, r := range f.replicas {
		p := r.process()
		if p == nil || !p.hasEnded() {
			continue
		}
		_ = p.ended() // why is what it said last
		said := p.errs.String()
		t.Logf("%s ended by itself: %s", r.name, said[max(0, len(said)-600):])
		if !f.mayEnd[r] {
			t.Errorf("%s lived, and ended", r.name)
		}
		delete(f.mayEnd, r)
		f.start(t, r)
	}
}

// rest lets time go by, and looks after the replicas meanwhile.
func (f *fleet) rest(t *testing.T, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); ; {
		f.supervise(t)
		left := time.Until(end)
		if left <= 0 {
			return
		}
		rest(min(left, 200*time.Millisecond))
	}
}

// until waits for something that has to come true.
func (f *fleet) until(t *testing.T, what string, is func() error) {
	t.Helper()
	for limit := time.Now().Add(2 * patience); ; f.rest(t, 200*time.Millisecond) {
		err := is()
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			f.lastWords(t)
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// lastWords ends the replicas, and shows what each said last.
func (f *fleet) lastWords(t *testing.T) {
	t.Helper()
	if f.load != nil {
		t.Logf("agents were told, among others: %q", f.load.lastUnsure())
	}
	for _, r := range f.replicas {
		if p := r.process(); p != nil {
			p.kill(t)
			said := p.errs.String()
			t.Logf("%s said last: %s", r.name, said[max(0, len(said)-2500):])
		}
	}
}

// awaitReady waits until a replica answers that it is ready.
func (f *fleet) awaitReady(t *testing.T, r *replicaProcess) {
	t.Helper()
	f.until(t, r.name+" is ready", func() error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := new(http.Client).Do(request)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err == nil && response.StatusCode != http.StatusOK {
			err = errors.New(string(text))
		}
		return err
	})
}

// hasEnded reports whether the process is gone. What it has said is read and dropped.
func (p *process) hasEnded() bool {
	for {
		select {
		case _, more := <-p.lines:
			if !more {
				return true
			}
		default:
			return false
		}
	}
}
