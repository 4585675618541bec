package demo

import (
	"context"
	_ "embed" // the demo's policy and sample file
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	issuer "github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/broker/config"
)

var (
	//go:embed files/policy.cedar
	policyText []byte
	//go:embed files/welcome.txt
	welcome []byte
)

// Names in the demo's data directory.
const (
	ConfigFile  = "deed.yaml"
	SecretsFile = "secrets.json" // with which the CLI gets tokens; see agents/demo
	policyFile  = "policy/demo.cedar"
	sandbox     = "files"
	ledgerDir   = "ledger"
)

// prepare writes what is not there yet, and returns the configuration of this run.
func prepare(o Options, log string) (*config.Config, error) {
	if err := makeDirs(o); err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{policyFile: policyText, sandbox + "/welcome.txt": welcome} {
		if err := writeNew(filepath.Join(o.Data, name), text); err != nil {
			return nil, fmt.Errorf("prepare demo: %w", err)
		}
	}
	o.log = log
	return config.Parse(filepath.Join(o.Data, ConfigFile), []byte(configText(o)))
}

func makeDirs(o Options) error {
	for _, dir := range []string{"", "policy", sandbox, filepath.Join(sandbox, "notes"), ledgerDir} {
		if err := os.MkdirAll(filepath.Join(o.Data, dir), 0o700); err != nil {
			return fmt.Errorf("prepare demo: %w", err)
		}
	}
	if err := os.Chmod(o.Data, 0o700); err != nil { //nolint:gosec // a directory: x is needed
		return fmt.Errorf("prepare demo: %w", err)
	}
	return nil
}

// announce leaves where this run listens, and the issuer's secrets, for the CLI. Only
// whoever holds the data directory may do that: another demo's are not overwritten.
func announce(o Options, iss *issuer.Server) error {
	if err := os.WriteFile(filepath.Join(o.Data, ConfigFile), []byte(configText(o)), 0o600); err != nil {
		return fmt.Errorf("announce demo: %w", err)
	}
	return issuer.SaveSecrets(filepath.Join(o.Data, SecretsFile), iss.Secrets())
}

// writeNew keeps what a user has changed.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // below the data directory
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

func configText(o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Written by deed demo at each start. The policy beside it is yours to change.
listen: %[1]s
url: http://%[1]s
tenant: demo
data: %[6]s
issuers:
  - url: %[2]s
    people_clients: [%[3]s]
policies: [policy/*.cedar]
domains:
  source:   { retention: 1y, payload_retention: 30d, readers: [auditor, lead] }
  payments: { retention: 7y, payload_retention: 90d, readers: [auditor, lead] }
upstreams:
  files:    { domain: source, builtin: files, dir: %[4]s }
  payments:
    domain: payments
    builtin: ledger
    dir: %[5]s
    sentences: { refund: "Give back {amount} of payment {payment}: {reason}" }
holds: { wait: 2s } # then the agent is told that the call is pending
agents:
`, o.Listen, issuerURL(o), strings.Join(issuer.PeopleClients(), ", "), sandbox, ledgerDir, o.kept())
	for _, a := range issuer.DefaultAgents() {
		fmt.Fprintf(&b, "  %s: { roles: [assistant], owner: demo, purpose: shows what a broker is for }\n", a.ID)
	}
	b.WriteString(o.log)
	return b.String()
}

// kept is where the broker keeps what it has here: on Pulsar, apart from what belongs to
// a log in a file.
func (o Options) kept() string {
	if o.Pulsar {
		return "on-pulsar"
	}
	return "."
}

func issuerURL(o Options) string { return "http://" + o.Issuer + "/demo" }

func startIssuer(ctx context.Context, o Options, cfg *config.Config, widened func(context.Context)) (*issuer.Server, error) {
	return issuer.Start(ctx, issuer.Config{
		URL: issuerURL(o), Resources: []string{cfg.Audience()}, ConsoleRedirects: []string{cfg.URL + "/callback"},
		Users: issuer.DefaultUsers(), Agents: issuer.DefaultAgents(), Widened: widened,
	})
}

// freePort settles an address whose port is 0, since it stands in tokens and URLs
// before anybody listens.
func freePort(ctx context.Context, addr string) (string, error) {
	if !strings.HasSuffix(addr, ":0") {
		return addr, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
