package oidc_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/deedbroker/deed/agents/agentstest"
)

// recorder answers by path, and keeps where it was asked to go.
type recorder struct {
	canned

	hosts []string
}

func (r *recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	r.hosts = append(r.hosts, q.URL.Host)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: q, Body: io.NopCloser(strings.NewReader(r.canned[q.URL.Path]))}, nil
}

// Whatever a provider says of itself, nobody but the provider is asked, and no token is
// accepted that it did not sign.
func FuzzMetadata(f *testing.F) {
	const keys = `{"keys":[{"kty":"EC","crv":"P-256","kid":"k","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`
	for _, seed := range [][2]string{
		{`{"issuer":"https://idp.example","jwks_uri":"https://idp.example/jwks"}`, keys},
		{`{"issuer":"https://idp.example","jwks_uri":"https://evil.example/jwks"}`, keys},
		{`{"issuer":"https://idp.example","jwks_uri":"http://169.254.169.254/jwks"}`, `{"keys":[{}]}`},
		{`{"issuer":"https://idp.example","jwks_uri":"https://idp.example/jwks","introspection_endpoint":7}`, `{"keys":[null,1,{"kty":"oct","k":"AA"}]}`},
		{`{"issuer":"https://idp.example","ISSUER":"x","jwks_uri":["https://idp.example/jwks"]}`, `[]`},
		{"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, discovery, jwks string) {
		synctest.Test(t, func(t *testing.T) {
			idp := agentstest.New(t, issuerURL, audience)
			transport := &recorder{canned: canned{"/.well-known/openid-configuration": discovery, "/jwks": jwks}}
			c := config(idp)
			c.Client.Transport = transport
			v := run(t, c)
			synctest.Wait()
			if got := kind(t, v, idp.Token(idp.PersonClaims("alice", "deed-cli"))); got == "" {
				t.Error("a token by a key that the provider does not have is accepted")
			}
			for _, host := range transport.hosts {
				if host != "idp.example" {
					t.Errorf("%s was asked", host)
				}
			}
		})
	})
}
