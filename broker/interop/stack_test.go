package interop_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/server"
	"github.com/deedbroker/deed/broker/telemetry"
	"github.com/deedbroker/deed/cmd/testbed/need"
	"github.com/deedbroker/deed/tools/upstream/upstreamtest"
)

const patience = 60 * time.Second

// stack is a broker that serves, with an issuer of tokens.
type stack struct {
	*server.Server
	url    string
	cfg    *config.Config
	issuer *agentstest.Issuer
}

// fixtures serves the conformance fixture: of the newest revision of the protocol, and of those with sessions.
func fixtures(t *testing.T) (upstreams string) {
	t.Helper()
	for name, revisions := range map[string][]string{"fixture": nil, "older": upstreamtest.Legacy()} {
		upstreams += fmt.Sprintf("  %s: { domain: work, url: %s/mcp }\n", name, newFixtureServer(t, revisions...).URL)
	}
	return upstreams
}

type fixtureServer struct {
	*upstreamtest.Fixture
	*httptest.Server
}

func newFixtureServer(t *testing.T, revisions ...string) fixtureServer {
	t.Helper()
	f := upstreamtest.NewFixture()
	s := fixtureServer{f, httptest.NewServer(f.HTTP(revisions...))}
	t.Cleanup(s.Close)
	return s
}

// start runs a broker with upstreams, in YAML, and policies.
func start(t *testing.T, upstreams, policies string) *stack {
	t.Helper()
	address := need.Address(t)
	s := &stack{url: "http://" + address}
	s.issuer = agentstest.Start(t, s.url+"/mcp")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "all.cedar"), []byte(policies), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(filepath.Join(dir, "deed.yaml"), fmt.Appendf(nil, `
listen: %[1]s
url: http://%[1]s
data: data
issuers: [{ url: %[2]s, people_clients: [console] }]
policies: [all.cedar]
domains: { work: {} }
agents: { copilot: { roles: [assistant] } }
holds: { wait: 2s }
limits: { calls_per_agent: 1000/s }
upstreams:
%[3]s`, address, s.issuer.URL, upstreams))
	if err != nil {
		t.Fatal(err)
	}
	s.cfg = cfg
	tel, err := telemetry.Setup(telemetry.Config{Output: t.Output(), Version: "test", Replica: server.DefaultReplica})
	if err != nil {
		t.Fatal(err)
	}
	if s.Server, err = server.Open(t.Context(), cfg, server.Options{Version: "test", Logger: tel.Logger, Meter: tel.Meter, Tracer: tel.Tracer, Metrics: tel.Metrics}); err != nil {
		t.Fatal(err)
	}
	s.run(t, tel)
	return s
}

func (s *stack) run(t *testing.T, tel *telemetry.Telemetry) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(patience):
			t.Error("it does not stop")
		}
		if err := tel.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-s.Serving():
	case <-time.After(patience):
		t.Fatal("it does not serve")
	}
}

// token is the agent's, for alice.
func (s *stack) token() string { return s.tokenFor("alice", "copilot") }

func (s *stack) tokenFor(person, agent string) string {
	return s.issuer.Token(s.issuer.DelegatedClaims(person, agent).With(agentstest.Claims{"roles": []string{"support"}}))
}

// authorised is a proxy on this machine that adds the agent's token, for clients that cannot.
func (s *stack) authorised(t *testing.T) string {
	t.Helper()
	to, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	token := s.token()
	p := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.Out.Header.Set("Authorization", "Bearer "+token)
		},
	})
	t.Cleanup(p.Close)
	return p.URL
}

// eventually waits for what happens elsewhere.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not in time: " + what)
		}
	}
}

// lastLines is the end of a long output.
func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
