package pulsar_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	client "github.com/apache/pulsar-client-go/pulsar"
	"github.com/apache/pulsar-client-go/pulsar/log"

	deedclient "github.com/deedbroker/deed/agents/client"
)

// The README from its beginning: an empty cluster, topics, a broker, an agent's calls,
// and an auditor who reads them in Python with nothing but permission to consume.
func TestFromNothingToAnAuditorsReading(t *testing.T) {
	t.Parallel()
	d := configure(t)
	if said, code := d.cli(t, "serve", "-c", "deed.yaml", "--replica", "deed-1", "--allow-demo-issuer"); code == 0 || !strings.Contains(said, "run `deed topics apply`") {
		t.Errorf("serve without topics: exit code %d\n%s", code, said)
	}
	apply := []string{"topics", "apply", "-c", "deed.yaml", "--admin-token-file", "secrets/superuser.token", "--yes"}
	if said, code := d.cli(t, apply...); code != 0 {
		t.Fatalf("topics apply: exit code %d\n%s", code, said)
	}
	if said, code := d.cli(t, "topics", "check", "-c", "deed.yaml", "--admin-token-file", "secrets/superuser.token"); code != 0 {
		t.Errorf("topics check: exit code %d\n%s", code, said)
	}
	d.serve(t)
	d.calls(t)

	lines, code := d.consume(t, "auditor", "payments")
	for _, want := range []string{"payments.balance by alice via copilot: allow, result ok", "payments.refund by alice via copilot: hold, open"} {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasSuffix(line, want) }) {
			t.Errorf("the auditor does not read %q:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if code != 0 {
		t.Errorf("the auditor's reading: exit code %d\n%s", code, strings.Join(lines, "\n"))
	}
	if lines, code := d.consume(t, "stranger", "payments"); code == 0 || !strings.Contains(lines[len(lines)-1], "AuthorizationError") {
		t.Errorf("a stranger's reading: exit code %d\n%s", code, strings.Join(lines, "\n"))
	}

	d.poison(t)
	d.calls(t)
	lines, code = d.consume(t, "auditor", "payments", "--json")
	d.afterPoison(t, lines, code)
}

// calls makes one that is allowed and one that is held.
func (d *deed) calls(t *testing.T) {
	t.Helper()
	agent := d.copilot(t)
	r, err := agent.Call(t.Context(), "payments.balance", []byte(`{"account":"acc-ada"}`), deedclient.CallOptions{})
	if err != nil || r.IsError {
		t.Fatalf("payments.balance: %+v, %v", r, err)
	}
	r, err = agent.Call(t.Context(), "payments.refund", []byte(`{"payment":"pay-1004","amount":120,"reason":"late"}`), deedclient.CallOptions{})
	if err != nil || r.Pending == nil {
		t.Fatalf("payments.refund is not held: %+v, %v", r, err)
	}
}

// poison writes what no broker does, with the brokers' own token.
func (d *deed) poison(t *testing.T) {
	t.Helper()
	token, err := os.ReadFile(d.path("secrets", "deed.token"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewClient(client.ClientOptions{
		URL: d.pulsar.URL, Authentication: client.NewAuthenticationToken(strings.TrimSpace(string(token))),
		Logger: log.NewLoggerWithSlog(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := c.CreateProducer(client.ProducerOptions{Topic: "persistent://" + d.tenant + "/payments/calls", Name: "mallory", DisableBatching: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	golden, err := os.ReadFile(filepath.Join("..", "..", "audit", "testdata", "events", "dev.deed.call.intent.v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"\x00\x1b[2J", "[]", `{"type":"dev.deed.call.result.v1","data":{}}`, string(golden)} {
		if _, err := p.Send(t.Context(), &client.ProducerMessage{
			Key: "k", Payload: []byte(body), Properties: map[string]string{"ce_tenant": "elsewhere", "deed_run": "r", "deed_seq": "7"},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// afterPoison expects every stranger to be told, and every call of the brokers to be there.
func (d *deed) afterPoison(t *testing.T, lines []string, code int) {
	t.Helper()
	text := strings.Join(lines, "\n")
	for _, want := range []string{
		"its body is no event", "sequence: number 8", "content type: None", "envelope: tenant is acme in the body and elsewhere",
		"producer: mallory wrote what says deed://acme/", "place: it says acme/payments/calls", "key: k for call",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nobody is told %q", want)
		}
	}
	states := map[string]int{}
	for _, line := range lines {
		var call struct {
			Tool  string `json:"tool"`
			State string `json:"state"`
		}
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &call) == nil {
			states[call.Tool+" "+call.State]++
		}
	}
	if code != 1 || states["payments.balance result"] != 2 || strings.ContainsRune(text, '\x1b') {
		t.Errorf("exit code %d, calls %v\n%s", code, states, text)
	}
}
