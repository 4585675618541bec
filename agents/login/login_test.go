package login_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents/login"
)

// provider is a token endpoint that answers as it is told, and keeps what it was sent.
type provider struct {
	*login.Provider

	status int
	body   string
	forms  []url.Values
	basic  []string
}

func newProvider(t *testing.T, body string) *provider {
	t.Helper()
	p := &provider{status: http.StatusOK, body: body}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		id, secret, _ := r.BasicAuth()
		p.forms, p.basic = append(p.forms, r.PostForm), append(p.basic, id+" "+secret)
		if p.status == http.StatusTemporaryRedirect {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(p.status)
		if _, err := fmt.Fprint(w, p.body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	p.Provider = &login.Provider{
		Issuer: server.URL, AuthorizationEndpoint: server.URL + "/authorize", TokenEndpoint: server.URL + "/token", NamesItself: true,
	}
	return p
}

const goodAnswer = `{"access_token":"at-secret","refresh_token":"rt-secret","id_token":"id-secret","token_type":"bearer","expires_in":60,"scope":"a b"}`

func TestGrantsSendWhatTheStandardsAsk(t *testing.T) {
	t.Parallel()
	p := newProvider(t, goodAnswer)
	agent := &login.Client{Provider: p.Provider, ID: "co pilot", Secret: "s:cret"}
	target := login.Target{Resource: "https://deed.example/mcp", Scopes: []string{"a", "b"}}
	if _, err := agent.Exchange(t.Context(), "subject", target); err != nil {
		t.Fatal(err)
	}
	got, err := agent.Credentials(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&login.Client{Provider: p.Provider, ID: "deed-cli"}).Renew(t.Context(), "old", login.Target{}); err != nil {
		t.Fatal(err)
	}
	const at = "urn:ietf:params:oauth:token-type:access_token"
	want := []url.Values{
		{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {"subject"}, "subject_token_type": {at},
			"requested_token_type": {at}, "resource": {target.Resource}, "scope": {"a b"},
		},
		{"grant_type": {"client_credentials"}, "resource": {target.Resource}, "scope": {"a b"}},
		{"grant_type": {"refresh_token"}, "refresh_token": {"old"}, "client_id": {"deed-cli"}},
	}
	if diff := cmp.Diff(want, p.forms); diff != "" {
		t.Errorf("forms (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"co+pilot s%3Acret", "co+pilot s%3Acret", " "}, p.basic); diff != "" {
		t.Errorf("authentication (-want +got):\n%s", diff)
	}
	if string(got.Access) != "at-secret" || !cmp.Equal(got.Scopes, []string{"a", "b"}) || !got.Valid(time.Now()) || got.Valid(time.Now().Add(time.Minute)) {
		t.Errorf("token with scopes %v until %s", got.Scopes, got.Expires)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	token := &login.Token{Access: "at-secret", Refresh: "rt-secret", ID: "id-secret"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(verb, *token); strings.Contains(text, "-secret") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestAnswersOfProvidersAreNotTakenOnTrust(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"refused", 400, `{"error":"invalid_grant","error_description":"no\u001b[31m way"}`, "invalid_grant: no [31m way"},
		{"refused without words", 401, `{"error":"invalid_client"}`, "invalid_client"},
		{"no JSON", 502, `<html>`, "answered 502"},
		{"redirected", http.StatusTemporaryRedirect, ``, "answered 307"},
		{"a token that is none", 200, `{"token_type":"bearer"}`, "no access token"},
		{"a token of another type", 200, `{"access_token":"at-secret","token_type":"DPoP"}`, "not a bearer token"},
		{"an odd lifetime", 200, `{"access_token":"at-secret","token_type":"bearer","expires_in":1e300}`, "expires_in"},
		{"cut off", 200, `{"access_token":"at-secret"`, "not a token response"},
		{"too large", 200, strings.Repeat(" ", 2<<20), "too large"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, row.body)
			p.status = row.status
			_, err := (&login.Client{Provider: p.Provider, ID: "copilot", Secret: "client-secret"}).Credentials(t.Context(), login.Target{})
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "-secret") {
				t.Errorf("error %v, want one with %q and no secret", err, row.want)
			}
			if len(p.forms) != 1 {
				t.Errorf("%d requests, want 1", len(p.forms))
			}
		})
	}
}

// browser follows nothing: it answers the callback as the row of a test says.
func browser(change func(callback url.Values), statuses *[]int) func(context.Context, string) error {
	return func(ctx context.Context, address string) error {
		asked, err := url.Parse(address)
		if err != nil {
			return err
		}
		query := asked.Query()
		answer := url.Values{"code": {"c0de"}, "state": {query.Get("state")}, "iss": {asked.Scheme + "://" + asked.Host}}
		change(answer)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, query.Get("redirect_uri")+"?"+answer.Encode(), nil)
		if err != nil {
			return err
		}
		response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
		if err != nil {
			return err
		}
		*statuses = append(*statuses, response.StatusCode)
		return response.Body.Close()
	}
}

func TestCodeFlow(t *testing.T) {
	t.Parallel()
	p := newProvider(t, goodAnswer)
	c := &login.Client{Provider: p.Provider, ID: "deed-cli"}
	var shown url.Values
	var statuses []int
	token, err := c.CodeFlow(t.Context(), login.CodeRequest{
		Target:     login.Target{Resource: "https://deed.example/mcp", Scopes: []string{"openid", "a"}, Params: url.Values{"x": {"y"}}},
		AuthParams: url.Values{"prompt": {"none"}},
		Show: func(ctx context.Context, address string) error {
			u, err := url.Parse(address)
			if err != nil {
				return err
			}
			shown = u.Query()
			return browser(func(url.Values) {}, &statuses)(ctx, address)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if string(token.Access) != "at-secret" || !cmp.Equal(statuses, []int{http.StatusOK}) {
		t.Errorf("token %v, browser saw %v", token.Valid(time.Now()), statuses)
	}
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "deed-cli", "scope": "openid a", "resource": "https://deed.example/mcp", "code_challenge_method": "S256", "prompt": "none",
	} {
		if got := shown.Get(name); got != want {
			t.Errorf("authorization request: %s %q, want %q", name, got, want)
		}
	}
	form := p.forms[0]
	for name, want := range map[string]string{
		"grant_type": "authorization_code", "code": "c0de", "redirect_uri": shown.Get("redirect_uri"), "resource": "https://deed.example/mcp", "scope": "", "x": "y",
	} {
		if got := form.Get(name); got != want {
			t.Errorf("token request: %s %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(shown.Get("redirect_uri"), "http://127.0.0.1:") || len(form.Get("code_verifier")) < 43 || len(shown.Get("state")) < 20 {
		t.Errorf("redirect %q, verifier of %d, state of %d characters", shown.Get("redirect_uri"), len(form.Get("code_verifier")), len(shown.Get("state")))
	}
}

func TestCodeFlowRefusesWhatIsNotItsAnswer(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(url.Values)
		want   string
	}{
		{"another issuer", func(v url.Values) { v.Set("iss", "https://evil.example") }, "another issuer"},
		{"no issuer", func(v url.Values) { v.Del("iss") }, "another issuer"},
		{"no code", func(v url.Values) { v.Del("code") }, "no code"},
		{"an error", func(v url.Values) { v.Set("error", "access_denied") }, "access_denied"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, goodAnswer)
			var statuses []int
			c := &login.Client{Provider: p.Provider, ID: "deed-cli"}
			_, err := c.CodeFlow(t.Context(), login.CodeRequest{Show: browser(row.change, &statuses)})
			if err == nil || !strings.Contains(err.Error(), row.want) || len(p.forms) != 0 {
				t.Errorf("error %v after %d token requests, want one with %q", err, len(p.forms), row.want)
			}
		})
	}
}

func TestCodeFlowWaitsPastForgedAnswers(t *testing.T) {
	t.Parallel()
	p := newProvider(t, goodAnswer)
	c := &login.Client{Provider: p.Provider, ID: "deed-cli"}
	var statuses []int
	_, err := c.CodeFlow(t.Context(), login.CodeRequest{Show: func(ctx context.Context, address string) error {
		for _, change := range []func(url.Values){
			func(v url.Values) { v.Set("state", "guess"); v.Set("error", "access_denied") },
			func(v url.Values) { v.Del("state") },
			func(url.Values) {},
		} {
			if err := browser(change, &statuses)(ctx, address); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil || !cmp.Equal(statuses, []int{http.StatusBadRequest, http.StatusBadRequest, http.StatusOK}) {
		t.Errorf("%v, browser saw %v", err, statuses)
	}
}

func TestCodeFlowEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p := newProvider(t, goodAnswer)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := (&login.Client{Provider: p.Provider, ID: "deed-cli"}).CodeFlow(ctx, login.CodeRequest{
		Show: func(context.Context, string) error { cancel(); return nil },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	broken := errors.New("no terminal")
	_, err = (&login.Client{Provider: p.Provider, ID: "deed-cli"}).CodeFlow(t.Context(), login.CodeRequest{
		Show: func(context.Context, string) error { return broken },
	})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	var document map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/realm/.well-known/openid-configuration" {
			http.NotFound(w, r)
			return
		}
		if err := json.NewEncoder(w).Encode(document); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	issuer := server.URL + "/realm"
	good := map[string]any{"issuer": issuer, "authorization_endpoint": issuer + "/a", "token_endpoint": "https://idp.example/t", "authorization_response_iss_parameter_supported": true}
	document = good
	got, err := login.Discover(t.Context(), nil, issuer)
	if err != nil {
		t.Fatal(err)
	}
	want := &login.Provider{Issuer: issuer, AuthorizationEndpoint: issuer + "/a", TokenEndpoint: "https://idp.example/t", NamesItself: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, value := range map[string]string{"issuer": server.URL, "authorization_endpoint": "javascript:alert(1)", "token_endpoint": "http://idp.example/t"} {
		document = maps.Clone(good)
		document[name] = value
		if _, err := login.Discover(t.Context(), nil, issuer); err == nil {
			t.Errorf("%s %s: accepted", name, value)
		}
	}
	for _, wrong := range []string{"http://idp.example", "", "file:///etc", server.URL} {
		if _, err := login.Discover(t.Context(), nil, wrong); err == nil {
			t.Errorf("issuer %q: accepted", wrong)
		}
	}
}
