package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// foreignRefusals are of those who are known, and want to use, see or change what is another's
// to use, see or change.
func foreignRefusals() []refusal {
	mallory := func(s *site) string {
		return s.issuer.Token(s.issuer.PersonClaims("mallory", "console").With(claims{"scope": "tools"}))
	}
	alice := func(s *site) string {
		return s.issuer.Token(s.issuer.PersonClaims("alice", "console", "support").With(claims{"scope": "tools"}))
	}
	agent := func(s *site) string {
		return s.issuer.Token(s.issuer.DelegatedClaims("bob", "copilot").With(claims{"roles": []string{"lead"}, "scope": "tools payments:write"}))
	}
	ask := func(why, method, path, body string, token func(s *site) string) refusal {
		return refusal{why: why, request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			put := strings.NewReplacer("HELD", s.held, "DIGEST", s.digest)
			r := s.post(t, put.Replace(path), token(s), put.Replace(body))
			r.Method = method
			return r
		}}
	}
	return []refusal{
		{why: "another caller's held call, awaited", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			return s.call(t, agent(s), "deed__await", `{"call_id":"`+s.held+`"}`)
		}},
		ask("another caller's held call, withdrawn", http.MethodDelete, "/v1/calls/HELD", "", agent),
		{why: "another person's call, read", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			s.awaitIndexed(t)
			return ask("", http.MethodGet, "/v1/calls/HELD", "", mallory).request(t, s)
		}},
		ask("a record of another person's call, proven", http.MethodGet, "/v1/proof/inclusion?position=payments/calls@1", "", mallory),
		ask("the history of a domain, copied by who may not read it", http.MethodGet, "/v1/logs/payments/calls/checkpoint", "", mallory),
		{why: "another caller's session", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			const open = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`
			status, header, body := s.send(t, s.post(t, "/mcp", s.agentToken("tools"), open))
			if status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
			return s.post(t, "/mcp", agent(s), `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`, "Mcp-Session-Id", header.Get("Mcp-Session-Id"))
		}},
		ask("a definition, shown to who may not review it", http.MethodGet, "/v1/tools/payments.refund/definition", "", mallory),
		ask("a definition, trusted by who may not review it", http.MethodPost, "/v1/tools/payments.refund/definition", `{"digest":"x"}`, mallory),
		ask("calls granted in advance by an approver's agent", http.MethodPost, "/v1/grants",
			`{"call_id":"HELD","digest":"DIGEST","where":[{"field":"/payment","equals":"pay-1002"}],"uses":1,"until":"`+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)+`","reason":"x"}`, agent),
		ask("other arguments given by an approver's agent", http.MethodPost, "/v1/calls/HELD/approvals",
			`{"verdict":"approve","digest":"DIGEST","arguments":{"payment":"pay-1002","amount":110},"reason":"x"}`, agent),
		ask("a finding about a call by who may not review it", http.MethodPost, "/v1/calls/HELD/reconciliation", `{"happened":true,"note":"x"}`, alice),
		{why: "a revocation, lifted by who may not revoke", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			status, _, body := s.send(t, s.post(t, "/v1/revocations", s.lead(), `{"kind":"agent","value":"idle","reason":"tried"}`))
			_, id, _ := strings.Cut(body, `"id":"`)
			if id, _, _ = strings.Cut(id, `"`); status/100 != 2 || id == "" {
				t.Fatalf("%d %s", status, body)
			}
			return ask("", http.MethodDelete, "/v1/revocations/"+id, "", mallory).request(t, s)
		}},
		{why: "a stream for a page of another origin", request: func(t *testing.T, s *site) *http.Request {
			t.Helper()
			r := s.post(t, "/v1/stream", s.lead(), "", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-Websocket-Version", "13",
				"Sec-Websocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==", "Origin", "https://evil.example")
			r.Method = http.MethodGet
			return r
		}},
	}
}

// awaitIndexed waits until the held call can be found by those who may read it.
func (s *site) awaitIndexed(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		_, body := s.get(t, "/v1/calls", s.lead())
		if strings.Contains(body, s.held) {
			return
		}
		if time.Now().After(end) {
			t.Fatal(body)
		}
	}
}
