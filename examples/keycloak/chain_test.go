package keycloak_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents/login"
)

// who is what the broker takes a token for.
type who struct {
	Chain  []string `json:"chain"`
	Roles  []string `json:"roles"`
	Person bool     `json:"person"`

	Principal string `json:"principal"`
}

func (r *rig) who(t *testing.T, token *login.Token) who {
	t.Helper()
	status, _, body := r.get(t, "/v1/whoami", string(token.Access))
	var w who
	if err := json.Unmarshal([]byte(body), &w); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	return w
}

func TestWhoActsAndForWhom(t *testing.T) {
	t.Parallel()
	r := serve(t)
	bob := r.person(t, "bob", "deed-cli", "tools")
	copilot := r.acting(t, "copilot", bob, "tools")
	sub := r.acting(t, "sub-agent", copilot, "tools")
	alone, err := r.agent("copilot").Credentials(t.Context(), login.Target{Scopes: []string{"tools"}})
	if err != nil {
		t.Fatal(err)
	}
	roles := []string{"support", "lead"}
	self := r.who(t, bob)
	if self.Principal == "" {
		t.Fatal("nobody")
	}
	for name, c := range map[string]struct {
		token *login.Token
		want  who
	}{
		"bob":                       {bob, who{[]string{}, roles, true, self.Principal}},
		"copilot for bob":           {copilot, who{[]string{"copilot"}, roles, false, self.Principal}},
		"sub-agent for copilot":     {sub, who{[]string{"sub-agent", "copilot"}, roles, false, self.Principal}},
		"copilot on its own":        {alone, who{[]string{"copilot"}, []string{}, false, ""}},
		"a desktop copilot for bob": {r.person(t, "bob", "desktop", "tools"), who{[]string{"desktop"}, roles, false, self.Principal}},
	} {
		if diff := cmp.Diff(c.want, r.who(t, c.token)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got := r.call(t, c.token, "payments__accounts", "{}"); (got.status != http.StatusOK || got.Result.IsError) && name != "copilot on its own" {
			t.Errorf("%s calls: %d %s", name, got.status, got.body)
		}
	}
	for name, token := range map[string]login.Secret{"an ID token": bob.ID, "a refresh token": bob.Refresh} {
		if status, header, _ := r.get(t, "/v1/whoami", string(token)); status != http.StatusUnauthorized || !strings.Contains(header.Get("WWW-Authenticate"), "invalid_token") {
			t.Errorf("%s: %d %s", name, status, header.Get("WWW-Authenticate"))
		}
	}
}

// Neither scope nor reach can grow on the way from one agent to the next.
func TestAnExchangeOnlyNarrows(t *testing.T) {
	t.Parallel()
	r := serve(t)
	bob := r.person(t, "bob", "deed-cli", "tools", "payments:write")
	copilot := r.acting(t, "copilot", bob, "tools")
	for name, exchange := range map[string]func() (*login.Token, error){
		"more scopes": func() (*login.Token, error) {
			return r.agent("sub-agent").Exchange(t.Context(), copilot.Access, login.Target{Scopes: []string{"tools", "payments:write"}})
		},
		"another audience": func() (*login.Token, error) {
			return r.agent("sub-agent").Exchange(t.Context(), copilot.Access, login.Target{Params: map[string][]string{"audience": {"deed-console"}}})
		},
		"a token of somebody else's": func() (*login.Token, error) {
			return r.agent("sub-agent").Exchange(t.Context(), bob.Access, login.Target{})
		},
		"another's secret": func() (*login.Token, error) {
			c := r.agent("sub-agent")
			c.ID = "copilot"
			return c.Exchange(t.Context(), bob.Access, login.Target{})
		},
	} {
		_, err := exchange()
		if _, refused := errors.AsType[*login.GrantError](err); !refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	sub := r.acting(t, "sub-agent", copilot, "tools")
	got := r.call(t, sub, "payments__refund", `{"payment":"x","amount":1,"reason":"x"}`)
	if got.status != http.StatusForbidden || !strings.Contains(got.challenge, `error="insufficient_scope"`) || !strings.Contains(got.challenge, `scope="payments:write tools"`) {
		t.Errorf("%d %s\n%s", got.status, got.challenge, got.body)
	}
}
