package server_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/agentstest"
)

// chainRefusals are of tokens that do not say soundly who acts for whom.
func chainRefusals() []refusal {
	return []refusal{
		with("no subject", claims{"sub": nil}),
		with("a subject that reads backwards", claims{"sub": "alice\u202ebob"}),
		with("a subject that poses as another issuer's", claims{"sub": "strict:alice"}),
		with("act that is no object", claims{"act": "copilot"}),
		with("act without a subject", claims{"act": claims{}}),
		with("act of another issuer", claims{"act": claims{"sub": "copilot", "iss": "https://other.example"}}),
		bearer("act that is nested too deeply", func(_ *testing.T, s *site) string {
			c := s.good()
			for range 6 {
				c = c.With(claims{"act": claims{"sub": "copilot", "act": c["act"]}})
			}
			return s.issuer.Token(c)
		}),
		with("act at odds with the client", claims{"client_id": "other"}),
		with("act under a client that is people's", claims{"client_id": "console"}),
		with("azp at odds with client_id", claims{"azp": "other"}),
		with("may_act that names another than the client", claims{"act": nil, "may_act": claims{"sub": "other"}}),
		bearer("neither an actor nor a client", func(_ *testing.T, s *site) string {
			return s.issuer.Token(s.issuer.PersonClaims("alice", "console").With(claims{"client_id": nil}))
		}),
	}
}

// bindingRefusals are of tokens that are bound to a key, or should be.
func bindingRefusals() []refusal {
	bound := func(s *site) string {
		return s.issuer.Token(s.good().With(claims{"cnf": claims{"jkt": s.key.Thumbprint()}}))
	}
	proof := func(why string, prove func(t *testing.T, s *site, token string) string) refusal {
		return refusal{why: why, request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			token := bound(s)
			r := s.call(t, "", "payments__accounts", "{}")
			r.Header.Set("Authorization", "DPoP "+token)
			if p := prove(t, s, token); p != "" {
				r.Header.Set("DPoP", p)
			}
			return r
		}}
	}
	at := func(s *site) string { return s.url() + "/mcp" }
	changed := func(why string, more claims) refusal {
		return proof(why, func(_ *testing.T, s *site, token string) string { return s.key.Proof("POST", at(s), token, more) })
	}
	return []refusal{
		bearer("bound to a key, as a plain bearer token", func(_ *testing.T, s *site) string { return bound(s) }),
		with("bound to a certificate", claims{"cnf": claims{"x5t#S256": "x"}}),
		proof("no DPoP proof", func(*testing.T, *site, string) string { return "" }),
		proof("a DPoP proof that was used before", func(t *testing.T, s *site, token string) string {
			t.Helper()
			p := s.key.Proof("POST", at(s), token, nil)
			first := s.call(t, "", "payments__nothing", "{}")
			first.Header.Set("Authorization", "DPoP "+token)
			first.Header.Set("DPoP", p)
			if status, _, body := s.send(t, first); status == http.StatusUnauthorized {
				t.Fatalf("the first time: %s", body)
			}
			return p
		}),
		proof("a DPoP proof by another key", func(t *testing.T, s *site, token string) string {
			t.Helper()
			return agentstest.NewKey(t, "ES256").Proof("POST", at(s), token, nil)
		}),
		changed("a DPoP proof for another method", claims{"htm": "GET"}),
		changed("a DPoP proof for another address", claims{"htu": "https://other.example/mcp"}),
		changed("a DPoP proof for another token", claims{"ath": "x"}),
		changed("a DPoP proof of yesterday", claims{"iat": in(-24 * time.Hour)}),
		proof("a DPoP proof that is not signed", func(_ *testing.T, s *site, token string) string {
			p := strings.Split(s.key.Proof("POST", at(s), token, nil), ".")
			return p[0] + "." + p[1] + "."
		}),
		{why: "DPoP with a token that is bound to no key", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			r := s.call(t, "", "payments__accounts", "{}")
			token := s.agentToken("tools")
			r.Header.Set("Authorization", "DPoP "+token)
			r.Header.Set("DPoP", s.key.Proof("POST", at(s), token, nil))
			return r
		}},
		bearer("bound to no key, where the issuer's tokens must be", func(_ *testing.T, s *site) string {
			return s.strict.Token(s.strict.DelegatedClaims("alice", "copilot").With(claims{"scope": "tools"}))
		}),
		nonced("a DPoP proof without a nonce, where the issuer's need one", ""),
		nonced("a DPoP proof with a nonce that is not this replica's", "AAAAAGkAAAAAAAAAAAAAAAAAAAAAAAAA"),
		{why: "a DPoP proof with a good nonce that was used before", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			status, header, body := s.send(t, s.proven(t, ""))
			nonce := header.Get(agents.NonceHeader)
			if status != http.StatusUnauthorized || nonce == "" {
				t.Fatalf("%d %v %s", status, header, body)
			}
			r := s.proven(t, nonce)
			again := r.Clone(r.Context())
			if again.Body, _ = r.GetBody(); again.Body == nil {
				t.Fatal("a request without a body")
			}
			if status, _, body := s.send(t, r); status != http.StatusOK {
				t.Fatalf("the first time: %d %s", status, body)
			}
			return again
		}},
	}
}

// proven is a request with a token and proof of an issuer whose proofs need a nonce.
func (s *site) proven(t *testing.T, nonce string) *http.Request {
	t.Helper()
	token := s.strict.Token(s.strict.DelegatedClaims("alice", "copilot").With(claims{"scope": "tools", "cnf": claims{"jkt": s.key.Thumbprint()}}))
	r := s.call(t, "", "payments__accounts", "{}")
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", s.key.Proof(http.MethodPost, s.url()+"/mcp", token, claims{"nonce": nonce}))
	return r
}

func nonced(why, nonce string) refusal {
	return refusal{why: why, request: func(t *testing.T, s *site) *http.Request {
		t.Helper()
		return s.proven(t, nonce)
	}}
}

// issuerRefusals are of tokens that their issuer does not stand by.
func issuerRefusals() []refusal {
	opaque := func(why string, said func(s *site) claims) refusal {
		return bearer(why, func(_ *testing.T, s *site) string {
			token := "opaque-" + fmt.Sprint(s.opaque.Introspections())
			s.opaque.Say(token, said(s))
			return token
		})
	}
	return []refusal{
		opaque("opaque, and not in force by its issuer's word", func(*site) claims { return nil }),
		opaque("opaque, for another audience", func(s *site) claims { return s.opaque.PersonClaims("alice", "x").With(claims{"aud": "other"}) }),
		bearer("signed and good, and not in force by its issuer's word", func(_ *testing.T, s *site) string {
			return s.opaque.Token(s.opaque.DelegatedClaims("alice", "copilot"))
		}),
		bearer("of an issuer that does not answer", func(_ *testing.T, s *site) string {
			return s.down.Token(s.down.DelegatedClaims("alice", "copilot"))
		}),
		{why: "more opaque tokens at once than the issuer is asked about", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			return s.call(t, "forged-"+rand.Text(), "payments__accounts", "{}")
		}, until: http.StatusServiceUnavailable},
	}
}

// callRefusals are of those who are known, and want what they may not.
func callRefusals() []refusal {
	vote := func(why, verdict string, token func(s *site) string) refusal {
		return refusal{why: why, request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			return s.post(t, "/v1/calls/"+s.held+"/approvals", token(s), `{"verdict":"`+verdict+`","digest":"`+s.digest+`","reason":"x"}`)
		}}
	}
	call := func(why, tool, arguments string, token func(s *site) string) refusal {
		return refusal{why: why, request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			return s.call(t, token(s), tool, strings.ReplaceAll(arguments, "HELD", `{"call_id":"`+s.held+`"}`))
		}}
	}
	scoped := func(scope string) func(s *site) string { return func(s *site) string { return s.agentToken(scope) } }
	agent := func(person string, roles ...string) func(s *site) string {
		return func(s *site) string {
			return s.issuer.Token(s.issuer.DelegatedClaims(person, "copilot").With(claims{"roles": append([]string{}, roles...), "scope": "tools payments:write"}))
		}
	}
	person := func(name string, roles ...string) func(s *site) string {
		return func(s *site) string {
			return s.issuer.Token(s.issuer.PersonClaims(name, "console", roles...).With(claims{"scope": "tools"}))
		}
	}
	return []refusal{
		call("without a scope that every request needs", "payments__accounts", "{}", scoped("payments:write")),
		call("without a scope that the tool needs", "payments__refund", `{"payment":"pay-1001","amount":1}`, scoped("tools")),
		call("a tool that does not exist", "payments__nothing", "{}", scoped("tools")),
		call("arguments that do not fit", "payments__balance", `{"account":7}`, scoped("tools")),
		call("the person may not", "payments__accounts", "{}", agent("mallory")),
		call("the agent may not", "payments__accounts", "{}", func(s *site) string {
			return s.issuer.Token(s.issuer.DelegatedClaims("alice", "rogue").With(claims{"roles": []string{"support"}, "scope": "tools"}))
		}),
		call("one agent of the chain may not", "payments__accounts", "{}", func(s *site) string {
			return s.issuer.Token(s.issuer.DelegatedClaims("alice", "sub-agent", "copilot").With(claims{"roles": []string{"support"}, "scope": "tools"}))
		}),
		call("a stronger login is asked for by policy", "payments__charge", `{"account":"acc-ada","amount":1,"description":"x"}`, scoped("tools")),
		vote("an agent with an approver's roles approves", "approve", agent("bob", "lead")),
		vote("an agent with an approver's roles denies", "deny", agent("bob", "lead")),
		vote("a person without the role approves", "approve", person("mallory")),
		vote("an approver who has not logged in strongly enough approves", "approve", person("dora", "lead")),
		vote("a person approves what is done in their own name", "approve", person("alice", "lead")),
	}
}
