package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/agentstest"
)

// What was approved after the issuer had withdrawn the token does not run, though the
// broker has verified the token before.
func TestAHeldCallsTokenIsAskedAboutBeforeItRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	secret := filepath.Join(r.dir, "secret")
	if err := os.WriteFile(secret, []byte(agentstest.IntrospectionSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	r.more = fmt.Sprintf(`
issuers:
  - { url: %s, people_clients: [console], introspection: { client_id: deed, client_secret: "file://%s", every: 1h } }
upstreams:
  payments: { domain: payments, builtin: ledger, dir: ledger }
`, r.issuer.URL, secret)
	s := &site{running: r.start(t)}
	token := func(c claims) string {
		signed := s.issuer.Token(c)
		s.issuer.Say(signed, c)
		return signed
	}
	bob := token(s.issuer.PersonClaims("bob", "console", "lead"))
	for name, withdrawn := range map[string]bool{"withdrawn": true, "in-force": false} {
		agent := token(s.issuer.DelegatedClaims("alice", "copilot").With(claims{"roles": []string{"support"}, "jti": name}))
		_, _, body := s.send(t, s.call(t, agent, "payments__refund", `{"payment":"pay-1002","amount":120,"reason":"`+name+`"}`))
		found := regexp.MustCompile(`"dev.deed/call_id":"([^"]+)"`).FindStringSubmatch(body)
		if found == nil {
			t.Fatal(body)
		}
		if withdrawn {
			s.issuer.Say(agent, nil)
		}
		var call struct {
			State   string `json:"state"`
			Outcome string `json:"outcome"`
			Code    string `json:"code"`
			Digest  string `json:"digest"`
		}
		read := func() {
			t.Helper()
			_, body := s.get(t, "/v1/calls/"+found[1], bob)
			if err := json.Unmarshal([]byte(body), &call); err != nil {
				t.Fatal(err)
			}
		}
		read()
		status, _, body := s.send(t, s.post(t, "/v1/calls/"+found[1]+"/approvals", bob, `{"verdict":"approve","digest":"`+call.Digest+`"}`))
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		for end := time.Now().Add(patience); call.State != "closed" && time.Now().Before(end); read() {
		}
		_, revoked := s.get(t, "/v1/revocations", bob)
		if told := strings.Contains(revoked, `"via":"introspection"`); withdrawn && !told {
			t.Errorf("the other replicas are not told: %s", revoked)
		}
		if ran := call.Code == "ok"; call.State != "closed" || ran == withdrawn {
			t.Errorf("withdrawn %t: %+v", withdrawn, call)
		}
	}
}
