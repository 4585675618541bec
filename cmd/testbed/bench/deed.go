package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"
)

// readyWithin bounds how long a broker may take to answer /readyz after its start.
const readyWithin = time.Minute

// upstreamName is what deed.yaml calls the stdio server.
const upstreamName = "bench"

// deedConfig is what a broker for the benchmark is made of.
type deedConfig struct {
	dir     string         // for binary, configuration and data
	echo    []string       // starts the stdio server
	more    map[string]any // upstreams beside it, as deed.yaml has them
	also    map[string]any // other settings of deed.yaml, which stand for those here
	policy  string         // Cedar; empty: everything is permitted
	profile string         // where the broker writes its CPU profile; empty: nowhere
	tenant  string         // empty: the default one
	log     any            // as deed.yaml has it; nil: the embedded one
}

// startDeed builds the broker and starts it with an issuer, one policy and the
// stdio server as its upstream.
func startDeed(ctx context.Context, c deedConfig) (_ *subject, err error) {
	binary := filepath.Join(c.dir, "deed")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/deedbroker/deed/cmd/deed") //nolint:gosec // our own program
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build deed: %w\n%s", err, output)
	}
	idp, err := startIssuer(ctx)
	if err != nil {
		return nil, err
	}
	stopIssuer := idp.stop
	defer func() {
		if err != nil {
			err = errors.Join(err, stopIssuer())
		}
	}()
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	url := "http://" + address
	if err := c.write(address, idp.url); err != nil {
		return nil, err
	}
	token, err := idp.token(url + "/mcp")
	if err != nil {
		return nil, err
	}
	s, err := c.serve(ctx, binary, url)
	if err != nil {
		return nil, err
	}
	s.token, s.person = token, func(name string) (string, error) { return idp.person(url+"/mcp", name) }
	s.sign = func(who map[string]any) (string, error) { return idp.sign(url+"/mcp", who) }
	stopBroker := s.stop
	s.stop = func() error { return errors.Join(stopBroker(), stopIssuer()) }
	return s, nil
}

// write writes deed.yaml and the policy beside it.
func (c deedConfig) write(address, issuerURL string) error {
	upstreams := map[string]any{upstreamName: map[string]any{"domain": "bench", "command": c.echo}}
	maps.Copy(upstreams, c.more)
	settings := map[string]any{
		"listen":    address,
		"data":      filepath.Join(c.dir, "data"),
		"issuers":   []any{map[string]any{"url": issuerURL, "people_clients": []string{peopleClient}}},
		"policies":  []string{"*.cedar"},
		"domains":   map[string]any{"bench": map[string]any{"retention": "1d", "partitions": 1}},
		"upstreams": upstreams,
		"limits":    map[string]any{"calls_per_agent": "1000000/s", "token_lifetime": "2d", "viewers": maxWatchers},
	}
	if c.log != nil {
		settings["log"], settings["tenant"] = c.log, c.tenant
	}
	maps.Copy(settings, c.also)
	text, err := yaml.Marshal(settings)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.dir, "deed.yaml"), text, 0o600); err != nil {
		return err
	}
	const policy = "@id(\"bench\")\npermit (principal, action in Action::\"call\", resource);\n" +
		"@id(\"readers\")\npermit (principal in Role::\"auditor\", action == Action::\"read\", resource);\n"
	return os.WriteFile(filepath.Join(c.dir, "bench.cedar"), []byte(cmp.Or(c.policy, policy)), 0o600)
}

// serve starts the broker and waits until it is ready.
func (c deedConfig) serve(ctx context.Context, binary, url string) (*subject, error) {
	logPath := filepath.Join(c.dir, "deed.log")
	logFile, err := os.Create(logPath) //nolint:gosec // in the run's own directory
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "-c", filepath.Join(c.dir, "deed.yaml")}
	if c.profile != "" {
		args = append(args, "--cpu-profile", c.profile)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), binary, args...) //nolint:gosec // built above
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, logFile.Close())
	}
	s := &subject{name: subjectDeed, url: url + "/mcp", tool: upstreamName + "__" + toolName, pid: cmd.Process.Pid, metrics: url + "/metrics"}
	s.stop = func() error {
		return errors.Join(cmd.Process.Signal(syscall.SIGTERM), waitFor(cmd), logFile.Close())
	}
	if err := waitReady(ctx, url+"/readyz"); err != nil {
		err = errors.Join(err, s.stop())
		said, readErr := os.ReadFile(logPath) //nolint:gosec // in the run's own directory
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, said), readErr)
	}
	return s, nil
}

func waitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	client := &http.Client{Timeout: 5 * time.Second}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		last := ask(ctx, client, url)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the broker did not become ready: %w", errors.Join(ctx.Err(), last))
		case <-ticker.C:
		}
	}
}

func ask(ctx context.Context, client *http.Client, url string) error {
	_, err := fetch(ctx, client, url)
	return err
}

// fetch is the body of what a broker answers with 200.
func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	err = errors.Join(err, response.Body.Close())
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("%s: %s", response.Status, body))
	}
	return body, err
}

// freeAddress is one that nobody listens on at the moment.
func freeAddress(ctx context.Context) (string, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
