package server_test

import (
	"net/http"
	"testing"
)

// revokedRefusals are of those who were stopped, at each level, though their tokens are good.
func revokedRefusals() []refusal {
	revoked := func(why, entry string, token func(s *site) string) refusal {
		return refusal{why: why, request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			status, _, body := s.send(t, s.post(t, "/v1/revocations", s.lead(), `{`+entry+`,"reason":"tried"}`))
			if status != http.StatusCreated && status != http.StatusOK {
				t.Fatalf("revoke %s: %d %s", entry, status, body)
			}
			return s.call(t, token(s), "payments__accounts", "{}")
		}}
	}
	with := func(person, agent string, more claims) func(s *site) string {
		return func(s *site) string {
			return s.issuer.Token(s.issuer.DelegatedClaims(person, agent).With(claims{"roles": []string{"support"}, "scope": "tools"}).With(more))
		}
	}
	byAgent := func(why, method, path, body string) refusal {
		return refusal{why: why, request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			r := s.post(t, path, s.issuer.Token(s.issuer.DelegatedClaims("bob", "copilot").With(claims{"roles": []string{"lead"}})), body)
			r.Method = method
			return r
		}}
	}
	return []refusal{
		revoked("the agent was revoked", `"kind":"agent","value":"wanton"`, with("alice", "wanton", nil)),
		revoked("an agent further down the chain was revoked", `"kind":"agent","value":"wanton"`, func(s *site) string {
			return s.issuer.Token(s.issuer.DelegatedClaims("alice", "copilot", "wanton").With(claims{"scope": "tools"}))
		}),
		revoked("the person was revoked", `"kind":"principal","value":"ruth"`, with("ruth", "copilot", nil)),
		revoked("the token was revoked, by its jti", `"kind":"token","value":"lost"`, with("alice", "copilot", claims{"jti": "lost"})),
		revoked("the person's session was revoked", `"kind":"session","value":"evening"`, with("alice", "copilot", claims{"sid": "evening"})),
		revoked("the agent was revoked for this person", `"kind":"chain","value":"carl","agents":["copilot"]`, with("carl", "copilot", nil)),
		{why: "the key that signed was revoked", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			entry := `{"kind":"key","value":"` + s.opaque.Key().ID + `","issuer":"` + s.opaque.URL + `","reason":"tried"}`
			if status, _, body := s.send(t, s.post(t, "/v1/revocations", s.lead(), entry)); status/100 != 2 {
				t.Fatalf("%d %s", status, body)
			}
			c := s.opaque.DelegatedClaims("alice", "copilot").With(claims{"scope": "tools"})
			token := s.opaque.Token(c)
			s.opaque.Say(token, c)
			return s.call(t, token, "payments__accounts", "{}")
		}},
		byAgent("an agent with an approver's roles revokes", http.MethodPost, "/v1/revocations", `{"kind":"agent","value":"rival","reason":"x"}`),
	}
}

// lead is a person's token who may decide and revoke.
func (s *site) lead() string {
	return s.issuer.Token(s.issuer.PersonClaims("bob", "console", "lead").With(claims{"scope": "tools"}))
}
