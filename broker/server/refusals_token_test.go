package server_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/agentstest"
)

type claims = agentstest.Claims

// in is a time from now, as a NumericDate.
func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

// bearer is a request with a token that some issuer made.
func bearer(why string, token func(t *testing.T, s *site) string) refusal {
	return refusal{why: why, request: func(t *testing.T, s *site) *http.Request {
		t.Helper()
		return s.call(t, token(t, s), "payments__accounts", "{}")
	}}
}

// good are claims with which a token would be accepted.
func (s *site) good() claims {
	return s.issuer.DelegatedClaims("alice", "copilot").With(claims{"roles": []string{"support"}, "scope": "tools payments:write"})
}

// with is a token whose claims differ from good ones.
func with(why string, more claims) refusal {
	return bearer(why, func(_ *testing.T, s *site) string { return s.issuer.Token(s.good().With(more)) })
}

// header is a good token but for its header.
func header(why string, more claims) refusal {
	return bearer(why, func(_ *testing.T, s *site) string { return s.issuer.TokenWith(more, s.good()) })
}

// headerRefusals are of requests that do not present one token as they should.
func headerRefusals() []refusal {
	plain := func(why string, headers ...string) refusal {
		return refusal{why: why, request: func(t *testing.T, s *site) *http.Request { t.Helper(); return s.post(t, "/mcp", "", "{}", headers...) }}
	}
	return []refusal{
		plain("no token"),
		{why: "no token, at one upstream's path", request: func(t *testing.T, s *site) *http.Request { t.Helper(); return s.post(t, "/mcp/payments", "", "{}") }},
		{why: "no token, at the API for people", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			return s.post(t, "/v1/calls/x/approvals", "", "{}")
		}},
		plain("another scheme", "Authorization", "Basic YTpi"),
		plain("a scheme without a token", "Authorization", "Bearer"),
		plain("characters that no token has", "Authorization", `Bearer a"b`),
		plain("a token larger than any", "Authorization", "Bearer "+strings.Repeat("a", 17<<10)),
		plain("two tokens", "Authorization", "Bearer a", "Authorization", "Bearer b"),
		{why: "a token in the address", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			return s.post(t, "/mcp?access_token="+s.agentToken("tools"), "", "{}")
		}},
		{why: "a page of another origin", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			return s.post(t, "/mcp", s.agentToken("tools"), "{}", "Origin", "https://evil.example")
		}},
		{why: "a name that was rebound to this machine", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			r := s.post(t, "/mcp", s.agentToken("tools"), "{}")
			r.Host = "evil.example"
			return r
		}},
	}
}

// tokenRefusals are of tokens that are not access tokens of the issuer for this broker now.
func tokenRefusals() []refusal {
	part := func(why string, change func(parts []string) string) refusal {
		return bearer(why, func(_ *testing.T, s *site) string { return change(strings.Split(s.issuer.Token(s.good()), ".")) })
	}
	return []refusal{
		bearer("a word", func(*testing.T, *site) string { return "a.b.c" }),
		part("four parts", func(p []string) string { return strings.Join(append(p, "x"), ".") }),
		part("padded base64", func(p []string) string { return p[0] + "." + p[1] + "." + p[2] + "==" }),
		bearer("a claim that is given twice", func(t *testing.T, s *site) string {
			t.Helper()
			payload := append([]byte(`{"sub":"mallory",`), encode(t, s.good())[1:]...)
			return s.issuer.Key().Sign(encode(t, claims{"alg": "ES256", "kid": s.issuer.Key().ID, "typ": "at+jwt"}), payload)
		}),
		with("a claim that differs from iss in case only", claims{"ISS": "https://other.example"}),
		header("critical extensions", claims{"crit": []string{"exp"}, "exp": 1}),
		with("no exp", claims{"exp": nil}),
		with("no iat", claims{"iat": nil}),
		bearer("alg none", func(t *testing.T, s *site) string {
			t.Helper()
			return agentstest.Encode(encode(t, claims{"alg": "none", "typ": "at+jwt"})) + "." + agentstest.Encode(encode(t, s.good())) + "."
		}),
		bearer("alg HS256, with the public key for a secret", confused),
		header("another algorithm than the key's", claims{"alg": "RS256"}),
		with("an unknown issuer", claims{"iss": "https://other.example"}),
		header("an unknown key", claims{"kid": "nobody"}),
		bearer("somebody else's signature", func(t *testing.T, s *site) string {
			t.Helper()
			stranger := agentstest.NewKey(t, "ES256")
			return stranger.Sign(encode(t, claims{"alg": "ES256", "kid": s.issuer.Key().ID, "typ": "at+jwt"}), encode(t, s.good()))
		}),
		bearer("its own key in the header", func(t *testing.T, s *site) string {
			t.Helper()
			mine := agentstest.NewKey(t, "ES256")
			return mine.Sign(encode(t, claims{"alg": "ES256", "kid": s.issuer.Key().ID, "typ": "at+jwt", "jwk": mine.Public()}), encode(t, s.good()))
		}),
		bearer("other claims than were signed", func(t *testing.T, s *site) string {
			t.Helper()
			p := strings.Split(s.issuer.Token(s.good()), ".")
			return p[0] + "." + agentstest.Encode(encode(t, s.good().With(claims{"sub": "bob"}))) + "." + p[2]
		}),
		bearer("signed by another issuer that is trusted", func(t *testing.T, s *site) string {
			t.Helper()
			return s.strict.Token(s.good())
		}),
		with("for another audience", claims{"aud": "https://other.example/mcp"}),
		with("for no audience", claims{"aud": nil}),
		header("typ JWT, where at+jwt is asked for", claims{"typ": "JWT"}),
		header("a logout token", claims{"typ": "logout+jwt"}),
		header("an identity assertion grant (ID-JAG)", claims{"typ": "oauth-id-jag+jwt"}),
		with("an ID token, by its nonce", claims{"nonce": "n"}),
		with("an ID token, by its claim typ", claims{"typ": "ID"}),
		with("a refresh token", claims{"typ": "Refresh"}),
		with("a security event token", claims{"events": claims{}}),
		with("expired", claims{"iat": in(-time.Hour), "exp": in(-time.Minute)}),
		with("not valid yet, by nbf", claims{"nbf": in(10 * time.Minute)}),
		with("issued in the future", claims{"iat": in(5 * time.Minute)}),
		with("a lifetime of years", claims{"exp": in(3 * 365 * 24 * time.Hour)}),
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// confused is signed by HMAC with what everybody knows: the public key.
func confused(t *testing.T, s *site) string {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(s.issuer.Key().Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	input := agentstest.Encode(encode(t, claims{"alg": "HS256", "kid": s.issuer.Key().ID, "typ": "at+jwt"})) + "." + agentstest.Encode(encode(t, s.good()))
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(input))
	return input + "." + agentstest.Encode(mac.Sum(nil))
}
