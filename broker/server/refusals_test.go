package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker/config"
)

var update = flag.Bool("update", false, "rewrite the table of refusals")

// refusal is one request that is refused.
type refusal struct {
	why     string
	request func(t *testing.T, s *site) *http.Request
	// until is the status to wait for with one such request after another; 0: the first.
	until int
}

// site is a broker with issuers of several kinds.
type site struct {
	*running
	opaque *agentstest.Issuer // whose tokens are no JWTs
	strict *agentstest.Issuer // whose tokens must be bound to a key
	down   *agentstest.Issuer // which does not answer
	key    *agentstest.Key    // of a client that uses DPoP
	held   string             // a call of alice's that waits for a lead
	digest string             // of that call
}

// outcome is what became of a refused request.
type outcome struct {
	why, status, challenge, recorded string

	from, to time.Time
}

// TestEveryRefusalIsInTheTable sends a request for every reason to be refused, and has the
// table of what was answered and what was recorded be as it is in testdata.
//
//nolint:tparallel // the requests are sent in order, so that records can be told apart
func TestEveryRefusalIsInTheTable(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var outcomes []outcome
	for _, part := range [][]refusal{headerRefusals(), tokenRefusals(), chainRefusals(), bindingRefusals(), issuerRefusals(), widenedRefusals(), callRefusals(), foreignRefusals(), revokedRefusals()} {
		for _, r := range part {
			t.Run(r.why, func(t *testing.T) { outcomes = append(outcomes, s.refused(t, r)) })
		}
	}
	s.stop(t)
	s.readLog(t, outcomes)
	var b bytes.Buffer
	fmt.Fprintf(&b, "# What is refused\n\nWritten by `go test ./broker/server -run TestEveryRefusalIsInTheTable -update`: each row is a subtest of that name, and what the broker answered and recorded.\n\n")
	fmt.Fprintf(&b, "| | refused | status | WWW-Authenticate | recorded |\n|---|---|---|---|---|\n")
	for n, o := range outcomes {
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s |\n", n+1, o.why, o.status, o.challenge, o.recorded)
	}
	golden := filepath.Join("testdata", "refusals.md")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("run the test with -update if this is meant (-want +got):\n%s", diff)
	}
}

// refused sends the request, and says what came of it.
func (s *site) refused(t *testing.T, r refusal) outcome {
	t.Helper()
	request := r.request(t, s)
	before := s.rejections(t)
	o := outcome{why: r.why, from: time.Now()}
	status, header, body := s.send(t, request)
	for range 5000 {
		if r.until == 0 || status == r.until {
			break
		}
		status, header, body = s.send(t, r.request(t, s))
	}
	o.to = time.Now()
	o.status, o.challenge = strconv.Itoa(status), s.public(header.Get("WWW-Authenticate"))
	if status == http.StatusOK {
		if !strings.Contains(body, `"isError":true`) {
			t.Errorf("accepted: %s", body)
		}
		o.status += " isError"
	}
	if retry := header.Get("Retry-After"); retry != "" {
		o.status += " Retry-After"
	}
	for kind, n := range s.rejections(t) {
		if r.until == 0 && n != before[kind] || r.until != 0 && n == before[kind]+1 {
			o.recorded += fmt.Sprintf("rejection `%s`", kind)
		}
	}
	for _, secret := range []string{"of-deed", "eyJ"} {
		if strings.Contains(body, secret) || strings.Contains(o.challenge, secret) {
			t.Errorf("the answer quotes a secret: %s %s", o.challenge, body)
		}
	}
	return o
}

func (s *site) send(t *testing.T, r *http.Request) (int, http.Header, string) {
	t.Helper()
	response, err := s.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	_, err = body.ReadFrom(response.Body)
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, body.String()
}

// public is a header without this run's addresses.
func (s *site) public(challenge string) string {
	return strings.ReplaceAll(challenge, s.url(), "https://deed.example")
}

var rejectedLine = regexp.MustCompile(`(?m)^deed_token_rejected_total\{[^}]*kind="([a-z_]+)"[^}]*\} ([0-9]+)`)

// rejections are the tokens that were refused so far, by kind.
func (s *site) rejections(t *testing.T) map[string]int {
	t.Helper()
	_, body := s.get(t, "/metrics", "")
	counts := map[string]int{}
	for _, m := range rejectedLine.FindAllStringSubmatch(body, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		counts[m[1]] = n
	}
	return counts
}

// readLog adds the events that were written about refused calls and votes, and checks
// that every rejection that was counted is in the log's samples.
func (s *site) readLog(t *testing.T, outcomes []outcome) {
	t.Helper()
	log, err := embedded.Open(t.Context(), filepath.Join(s.dir, "data"), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}()
	sampled := map[string]int64{}
	for record, err := range log.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := record.Event()
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == audit.TokenRejected {
			var r audit.Rejection
			if err := json.Unmarshal(e.Data, &r); err != nil {
				t.Fatal(err)
			}
			sampled[r.Kind] += r.Count
			continue
		}
		for n := range outcomes {
			if o := &outcomes[n]; (e.Topic == audit.TopicCalls || e.Topic == audit.TopicControl) && !e.Time.Before(o.from) && !e.Time.After(o.to) {
				o.recorded = strings.TrimPrefix(o.recorded+", "+recordedAs(t, e), ", ")
			}
		}
	}
	counted := map[string]int64{}
	for n := range outcomes {
		o := &outcomes[n]
		if kind, ok := strings.CutPrefix(o.recorded, "rejection `"); ok {
			kind, _, _ = strings.Cut(kind, "`") // an event may stand behind it
			counted[kind]++
		}
		if o.recorded == "" {
			o.recorded = "nothing"
		}
	}
	for kind, n := range counted {
		if sampled[kind] < n {
			t.Errorf("%d rejections of kind %s in the log, want %d", sampled[kind], kind, n)
		}
	}
}

// recordedAs is an event in a few words.
func recordedAs(t *testing.T, e audit.Event) string {
	t.Helper()
	var data struct {
		Code string `json:"code"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	what := "event `" + string(e.Type) + "`"
	if data.Code != "" {
		what += ", code `" + data.Code + "`"
	}
	return what
}

func newSite(t *testing.T) *site {
	t.Helper()
	r := newRig(t)
	s := &site{
		opaque: agentstest.Start(t, r.url()+"/mcp"), strict: agentstest.Start(t, r.url()+"/mcp"), down: agentstest.Start(t, r.url()+"/mcp"),
		key: agentstest.NewKey(t, "ES256"),
	}
	s.down.SetDown(true)
	secret := filepath.Join(r.dir, "secret")
	if err := os.WriteFile(secret, []byte(agentstest.IntrospectionSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	r.write(t, rules+`
@id("own") permit (principal, action == Action::"read", resource is Call) when { resource.principal == principal };
@id("stops") permit (principal in Role::"lead", action == Action::"revoke", resource);
@id("strong") @acr("gold") @reason("Dora decides with her key.")
forbid (principal == User::"dora", action == Action::"approve", resource) unless { context.token has acr && context.token.acr == "gold" };
@id("four-eyes") forbid (principal, action == Action::"approve", resource) when { resource.principal == principal };
@id("step-up") @reason("Charging needs a strong login.")
forbid (principal, action == Action::"payments.charge", resource) unless { context.token has acr && context.token.acr == "mfa" };
`)
	r.more = fmt.Sprintf(`
issuers:
  - { url: %s, people_clients: [console] }
  - { url: %s, prefix: opaque, introspection: { client_id: deed, client_secret: "file://%s", opaque: true } }
  - { url: %s, prefix: strict, dpop: required, dpop_nonce: true }
  - { url: %s, prefix: down }
scopes: { required: [tools] }
upstreams:
  payments: { domain: payments, builtin: ledger, dir: ledger, tool_scopes: { refund: ["payments:write"] } }
  other: { domain: payments, builtin: ledger, dir: ledger, tool_scopes: { refund: ["payments:write"] } }
`, r.issuer.URL, s.opaque.URL, secret, s.strict.URL, s.down.URL)
	s.running = r.start(t)
	s.hold(t)
	return s
}

// config of a site: what stands in more in place of what a rig has.
func (r *rig) siteConfig(t *testing.T) *config.Config {
	t.Helper()
	text := fmt.Sprintf("listen: %[1]s\nurl: http://%[1]s\ndata: data\npolicies: [all.cedar]\ndomains: { payments: {} }\n"+
		"agents: { copilot: { roles: [assistant] }, sub-agent: {} }\nholds: { wait: 1ms }\n%[2]s", r.address, r.more)
	cfg, err := config.Parse(filepath.Join(r.dir, "deed.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// hold makes alice's call that waits for a lead.
func (s *site) hold(t *testing.T) {
	t.Helper()
	status, _, body := s.send(t, s.call(t, s.agentToken("tools payments:write"), "payments__refund", `{"payment":"pay-1002","amount":120}`))
	found := regexp.MustCompile(`"dev.deed/call_id":"([^"]+)"`).FindStringSubmatch(body)
	if status != http.StatusOK || found == nil {
		t.Fatalf("%d %s", status, body)
	}
	s.held = found[1]
	_, body = s.get(t, "/v1/calls/"+s.held, s.issuer.Token(s.issuer.PersonClaims("bob", "console", "lead")))
	var detail struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal([]byte(body), &detail); err != nil || detail.Digest == "" {
		t.Fatalf("%v: %s", err, body)
	}
	s.digest = detail.Digest
}

// agentToken is a good one: copilot's, for alice.
func (s *site) agentToken(scope string) string {
	return s.issuer.Token(s.issuer.DelegatedClaims("alice", "copilot").With(agentstest.Claims{"roles": []string{"support"}, "scope": scope}))
}

// call is a tools/call of revision 2026-07-28.
func (s *site) call(t *testing.T, token, tool, arguments string) *http.Request {
	t.Helper()
	return s.post(t, "/mcp", token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+arguments+`,"_meta":{`+
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"test","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`,
		"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", tool)
}

// post is a request with a bearer token, unless that is empty.
func (s *site) post(t *testing.T, path, token, body string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, s.url()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for pair := range slices.Chunk(headers, 2) {
		r.Header[pair[0]] = append(r.Header[pair[0]], pair[1])
	}
	return r
}
