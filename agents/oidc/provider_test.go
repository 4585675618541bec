package oidc_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
)

// silent never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// canned answers by path.
type canned map[string]string

func (c canned) RoundTrip(r *http.Request) (*http.Response, error) {
	response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader(c[r.URL.Path]))}
	if target, ok := strings.CutPrefix(c[r.URL.Path], "redirect:"); ok {
		response.StatusCode, response.Status = http.StatusFound, "302 Found"
		response.Header.Set("Location", target)
	}
	return response, nil
}

func TestOddProvidersAreTroubleAndNothingWorse(t *testing.T) {
	t.Parallel()
	const discovery, jwks = "/.well-known/openid-configuration", "/jwks"
	document := func(issuer, keys string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, keys) }
	good := document(issuerURL, issuerURL+jwks)
	rows := []struct {
		name    string
		answers canned
		trouble string
	}{
		{"discovery is no JSON", canned{discovery: "<html>"}, "discover issuer"},
		{"discovery names another issuer", canned{discovery: document("https://evil.example", issuerURL+jwks)}, "did not match"},
		{"keys over plain HTTP", canned{discovery: document(issuerURL, "http://idp.example/jwks")}, "jwks_uri"},
		{"keys downgraded to loopback", canned{discovery: document(issuerURL, "http://127.0.0.1/jwks")}, "not https"},
		{"keys in a file", canned{discovery: document(issuerURL, "file:///etc/passwd")}, "jwks_uri"},
		{"discovery redirects", canned{discovery: "redirect:http://169.254.169.254/"}, "302"},
		{"keys redirect", canned{discovery: good, jwks: "redirect:http://169.254.169.254/"}, "302"},
		{"an endless answer", canned{discovery: good, jwks: `{"keys":[` + strings.Repeat(" ", 2<<20)}, "too large"},
		{"keys are no JSON", canned{discovery: good, jwks: "]"}, "not JSON"},
		{"no keys member", canned{discovery: good, jwks: "{}"}, "no keys member"},
		{"too many keys", canned{discovery: good, jwks: `{"keys":[` + strings.Repeat("{},", 64) + `{}]}`}, "65 keys"},
		{"an empty set", canned{discovery: good, jwks: `{"keys":[]}`}, "no key that can be used"},
		{"only keys of no use", canned{discovery: good, jwks: `{"keys":[
			{"kty":"oct","k":"c2VjcmV0"}, {"kty":"OKP","crv":"Ed448","x":"AA"}, {"kty":"RSA","n":"` + strings.Repeat("A", 60) + `","e":"AQAB"},
			{"kty":"EC","use":"enc","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`}, "no key that can be used"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				idp := agentstest.New(t, issuerURL, audience)
				c := config(idp)
				c.Client.Transport = row.answers
				v := run(t, c)
				synctest.Wait()
				h := v.Health()[0]
				if h.Ready || !strings.Contains(h.Trouble, row.trouble) {
					t.Errorf("health %+v, want trouble with %q", h, row.trouble)
				}
				if len(h.Trouble) > 400 {
					t.Errorf("the trouble has %d characters", len(h.Trouble))
				}
				got := kind(t, v, idp.Token(idp.PersonClaims("alice", "deed-cli")))
				if got != agents.ProviderTrouble && got != agents.UnknownKey {
					t.Errorf("token: %q", got)
				}
			})
		})
	}
}
