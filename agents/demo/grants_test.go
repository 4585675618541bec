package demo_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents/demo"
)

// exchange trades a token as an agent; pairs are further parameters, "" removes one.
func exchange(t *testing.T, server *demo.Server, agent, subject string, pairs ...string) answer {
	t.Helper()
	form := url.Values{"grant_type": {exchangeGrant}, "subject_token": {subject}, "subject_token_type": {accessTokenType}}
	set(form, pairs...)
	return post(t, server.URL()+"/token", agent, server.Secrets().Clients[agent], form)
}

func set(form url.Values, pairs ...string) {
	for n := 0; n < len(pairs); n += 2 {
		if pairs[n+1] == "" {
			form.Del(pairs[n])
			continue
		}
		form.Set(pairs[n], pairs[n+1])
	}
}

func TestAnExchangeNeverWidens(t *testing.T) {
	t.Parallel()
	server := start(t)
	c := client(t, server)
	scopes := []string{"tools:call", "tools:read"}
	person := token(t, c, demo.TokenRequest{User: "alice", Scopes: scopes})
	byCopilot := token(t, c, demo.TokenRequest{User: "alice", Scopes: scopes, Agents: []string{"copilot"}})
	copilotsOwn := token(t, c, demo.TokenRequest{Agents: []string{"copilot"}})
	expired := token(t, c, demo.TokenRequest{User: "alice", Expired: true})
	other := start(t)
	foreign := token(t, client(t, other), demo.TokenRequest{User: "alice"})
	form := codeForm(code(t, server))
	form.Set(demo.ParamMayAct, "copilot")
	forCopilot, _ := post(t, server.URL()+"/token", demo.CLIClient, "", form).body["access_token"].(string)
	rows := []struct {
		name    string
		agent   string
		subject string
		pairs   []string
		want    string // empty: granted
	}{
		{"as it is", "copilot", person, nil, ""},
		{"narrower", "copilot", person, []string{"scope", "tools:read"}, ""},
		{"with its own actor token", "copilot", person, []string{"actor_token", copilotsOwn, "actor_token_type", accessTokenType}, ""},
		{"wider", "copilot", person, []string{"scope", "tools:call admin"}, "invalid_scope"},
		{"wider at the second link", "sub-agent", byCopilot, []string{"scope", "admin"}, "invalid_scope"},
		{"another resource than there are", "copilot", person, []string{"resource", "https://evil.example"}, "invalid_target"},
		{"another resource than the token is for", "copilot", person, []string{"resource", otherResource}, "invalid_target"},
		{"an agent that may_act does not name", "sub-agent", forCopilot, nil, "invalid_target"},
		{"the agent that may_act names", "copilot", forCopilot, nil, ""},
		{"an agent that the holder did not register", "copilot", byCopilot, nil, "invalid_target"},
		{"a person's client as the actor", demo.CLIClient, person, nil, "unauthorized_client"},
		{"no person behind it", "sub-agent", copilotsOwn, nil, "invalid_request"},
		{"an expired token", "copilot", expired, nil, "invalid_grant"},
		{"another issuer's token", "copilot", foreign, nil, "invalid_grant"},
		{"no token", "copilot", "", nil, "invalid_grant"},
		{"another type of subject token", "copilot", person, []string{"subject_token_type", "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"},
		{"another type of token asked for", "copilot", person, []string{"requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"},
		{"somebody else's actor token", "sub-agent", person, []string{"actor_token", copilotsOwn, "actor_token_type", accessTokenType}, "invalid_request"},
		{"a lifetime of zero", "copilot", person, []string{"demo_lifetime", "0"}, "invalid_request"},
		{"a lifetime of words", "copilot", person, []string{"demo_lifetime", "long"}, "invalid_request"},
		{"expired, perhaps", "copilot", person, []string{"demo_expired", "yes"}, "invalid_request"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := exchange(t, server, row.agent, row.subject, row.pairs...)
			if got, _ := a.body["error"].(string); got != row.want {
				t.Errorf("error %q, want %q", got, row.want)
			}
			if _, ok := a.body["access_token"]; ok != (row.want == "") {
				t.Errorf("granted: %v", ok)
			}
		})
	}
}

func TestACodeIsForOneUseByWhomItWasGivenTo(t *testing.T) {
	t.Parallel()
	server := start(t)
	for name, pairs := range map[string][]string{
		"wrong verifier":                   {"code_verifier", strings.Repeat("x", 43)},
		"no verifier":                      {"code_verifier", ""},
		"other redirect":                   {"redirect_uri", "http://127.0.0.1:54322/callback"},
		"no redirect":                      {"redirect_uri", ""},
		"other resource":                   {"resource", otherResource},
		"no code":                          {"code", ""},
		"code that was not":                {"code", "AAAA"},
		"lifetime of an hour and a second": {"demo_lifetime", "3601"},
	} {
		form := codeForm(code(t, server))
		set(form, pairs...)
		if a := post(t, server.URL()+"/token", demo.CLIClient, "", form); a.status != http.StatusBadRequest || a.body["access_token"] != nil {
			t.Errorf("%s: %d %v", name, a.status, a.body["error"])
		}
	}
	if a := post(t, server.URL()+"/token", demo.ConsoleClient, "", codeForm(code(t, server))); a.body["error"] != "invalid_grant" {
		t.Errorf("another client's code: %d %v", a.status, a.body["error"])
	}

	failed := codeForm(code(t, server))
	set(failed, "code_verifier", strings.Repeat("x", 43))
	post(t, server.URL()+"/token", demo.CLIClient, "", failed)
	set(failed, "code_verifier", pkceVerifier)
	if a := post(t, server.URL()+"/token", demo.CLIClient, "", failed); a.body["error"] != "invalid_grant" {
		t.Errorf("a second guess at the verifier: %d %v", a.status, a.body["error"])
	}
}

func TestACodeUsedTwiceRevokesItsToken(t *testing.T) {
	t.Parallel()
	server := start(t)
	form := codeForm(code(t, server))
	first := post(t, server.URL()+"/token", demo.CLIClient, "", form)
	access, ok := first.body["access_token"].(string)
	if !ok {
		t.Fatalf("answer %d %v", first.status, first.body["error"])
	}
	if !active(t, server, access) {
		t.Error("the token is not active")
	}
	if again := post(t, server.URL()+"/token", demo.CLIClient, "", form); again.body["error"] != "invalid_grant" {
		t.Errorf("the second use: %d %v", again.status, again.body["error"])
	}
	if active(t, server, access) {
		t.Error("the token of a code that was used twice is still active")
	}
}

func active(t *testing.T, server *demo.Server, access string) bool {
	t.Helper()
	a := post(t, server.URL()+"/introspect", "copilot", server.Secrets().Clients["copilot"], url.Values{"token": {access}})
	if a.status != http.StatusOK {
		t.Fatalf("introspection answered %d", a.status)
	}
	yes, ok := a.body["active"].(bool)
	if !ok || yes != (a.body["sub"] != nil) {
		t.Fatalf("introspection answered %v", a.body)
	}
	return yes
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	server := start(t)
	secrets := server.Secrets().Clients
	access := token(t, client(t, server), demo.TokenRequest{User: "alice", Agents: []string{"copilot"}})
	revoke := func(id string) answer {
		return post(t, server.URL()+"/revoke", id, secrets[id], url.Values{"token": {access}})
	}
	if a := revoke("sub-agent"); a.status != http.StatusBadRequest || !active(t, server, access) {
		t.Errorf("another client revoked it: %d", a.status)
	}
	if a := revoke("copilot"); a.status != http.StatusOK || active(t, server, access) {
		t.Errorf("its own client could not revoke it: %d", a.status)
	}
	if a := revoke("copilot"); a.status != http.StatusOK {
		t.Errorf("a second revocation: %d", a.status)
	}
	if a := exchange(t, server, "sub-agent", access); a.body["error"] != "invalid_grant" {
		t.Errorf("exchange of a revoked token: %v", a.body["error"])
	}
	if a := post(t, server.URL()+"/introspect", demo.CLIClient, "", url.Values{"token": {access}}); a.status != http.StatusUnauthorized {
		t.Errorf("introspection by a public client: %d", a.status)
	}
}

func TestClientsMustBeWhoTheySay(t *testing.T) {
	t.Parallel()
	server := start(t)
	secret := server.Secrets().Clients["copilot"]
	form := func(pairs ...string) url.Values {
		f := url.Values{"grant_type": {"client_credentials"}}
		set(f, pairs...)
		return f
	}
	rows := []struct {
		name   string
		answer answer
		status int
	}{
		{"basic", post(t, server.URL()+"/token", "copilot", secret, form()), http.StatusOK},
		{"in the body", post(t, server.URL()+"/token", "copilot", "", form("client_secret", secret)), http.StatusOK},
		{"both", post(t, server.URL()+"/token", "copilot", secret, form("client_secret", secret)), http.StatusUnauthorized},
		{"two names", post(t, server.URL()+"/token", "copilot", secret, form("client_id", "sub-agent")), http.StatusUnauthorized},
		{"wrong secret", post(t, server.URL()+"/token", "copilot", "guess", form()), http.StatusUnauthorized},
		{"no secret", post(t, server.URL()+"/token", "copilot", "", form()), http.StatusUnauthorized},
		{"nobody", post(t, server.URL()+"/token", "rogue", "x", form()), http.StatusUnauthorized},
		{"a public client's own", post(t, server.URL()+"/token", demo.CLIClient, "", form()), http.StatusBadRequest},
		{"a twice given parameter", post(t, server.URL()+"/token", "copilot", secret, url.Values{"grant_type": {"client_credentials", "x"}}), http.StatusBadRequest},
		{"in the query", post(t, server.URL()+"/token?grant_type=client_credentials", "copilot", secret, form()), http.StatusBadRequest},
		{"an unknown grant", post(t, server.URL()+"/token", "copilot", secret, form("grant_type", "password")), http.StatusBadRequest},
		{"a giant body", post(t, server.URL()+"/token", "copilot", secret, form("x", strings.Repeat("x", 100<<10))), http.StatusBadRequest},
	}
	for _, row := range rows {
		if row.answer.status != row.status {
			t.Errorf("%s: %d, want %d", row.name, row.answer.status, row.status)
		}
	}
}

func TestAuthorizationRequests(t *testing.T) {
	t.Parallel()
	server := start(t)
	rows := []struct {
		name  string
		pairs []string
		want  string // error by redirect; "page"; "400": not redirected; empty: a code
	}{
		{"good", nil, ""},
		{"another port", []string{"redirect_uri", "http://127.0.0.1:1/callback"}, ""},
		{"IPv6", []string{"redirect_uri", "http://[::1]:5000/callback"}, ""},
		{"the console", []string{"client_id", demo.ConsoleClient, "redirect_uri", consoleRedirect}, ""},
		{"with a page", []string{"prompt", ""}, "page"},
		{"nobody", []string{"login_hint", "mallory"}, "login_required"},
		{"no challenge", []string{"code_challenge", ""}, "invalid_request"},
		{"plain challenge", []string{"code_challenge_method", "plain"}, "invalid_request"},
		{"no state", []string{"state", ""}, "invalid_request"},
		{"implicit", []string{"response_type", "token"}, "unsupported_response_type"},
		{"another resource", []string{"resource", "https://evil.example"}, "invalid_target"},
		{"unknown client", []string{"client_id", "rogue"}, "400"},
		{"an agent", []string{"client_id", "copilot"}, "400"},
		{"no redirect", []string{"redirect_uri", ""}, "400"},
		{"a redirect elsewhere", []string{"redirect_uri", "https://evil.example/callback"}, "400"},
		{"a redirect by name", []string{"redirect_uri", "http://localhost:1/callback"}, "400"},
		{"another path", []string{"redirect_uri", "http://127.0.0.1:1/other"}, "400"},
		{"a trick with a user", []string{"redirect_uri", "http://127.0.0.1:1@evil.example/callback"}, "400"},
		{"a trick with a query", []string{"redirect_uri", "http://127.0.0.1:1/callback?x=1"}, "400"},
		{"the console at another port", []string{"client_id", demo.ConsoleClient, "redirect_uri", "http://127.0.0.1:9/console/callback"}, "400"},
		{"endless state", []string{"state", strings.Repeat("x", 600)}, "400"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			query := authorizeQuery()
			set(query, row.pairs...)
			a := get(t, server.URL()+"/authorize?"+query.Encode())
			switch row.want {
			case "400":
				if a.status != http.StatusBadRequest || a.header.Get("Location") != "" {
					t.Errorf("answer %d to %q", a.status, a.header.Get("Location"))
				}
			case "page":
				if a.status != http.StatusOK || !strings.Contains(a.header.Get("Content-Security-Policy"), "default-src 'none'") {
					t.Errorf("answer %d with policy %q", a.status, a.header.Get("Content-Security-Policy"))
				}
			default:
				values := back(t, a)
				if values.Get("error") != row.want || (values.Get("code") != "") != (row.want == "") {
					t.Errorf("came back with %v, want %q", values, row.want)
				}
				if values.Get("iss") != server.URL() || values.Get("state") != query.Get("state") {
					t.Errorf("iss %q, state %q", values.Get("iss"), values.Get("state"))
				}
			}
		})
	}
}

func TestThePageShowsEverybodyAndNoMarkupOfTheRequest(t *testing.T) {
	t.Parallel()
	server := start(t)
	query := authorizeQuery()
	set(query, "prompt", "login", "nonce", `"><script>alert(1)</script>`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+"/authorize?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := noRedirects.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{">alice</a> (support)", ">bob</a> (lead)", ">carol</a> (auditor)", "login_hint=bob", "prompt=none"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(string(body), "<script") {
		t.Error("the page has a script of the request's")
	}
}
