package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/broker/httpapi"
)

const (
	heldID     = "019ab2c4-0000-7000-8000-000000000001"
	closedID   = "019ab2c4-0000-7000-8000-000000000002"
	heldDigest = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"
)

// fakeBroker answers as the HTTP API says, with one held call and one that has ended.
type fakeBroker struct {
	server *httptest.Server
	issuer string

	mu   sync.Mutex
	held httpapi.CallDetail // guarded by mu
	done httpapi.CallDetail // guarded by mu
}

func newFakeBroker() *fakeBroker {
	f := &fakeBroker{held: heldCall(), done: closedCall()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-protected-resource", f.metadata)
	mux.HandleFunc("GET /v1/calls", f.list)
	mux.HandleFunc("GET /v1/calls/{id}", f.withCall(func(w http.ResponseWriter, _ *http.Request, c *httpapi.CallDetail) { answer(w, c) }))
	mux.HandleFunc("POST /v1/calls/{id}/approvals", f.withCall(vote))
	mux.HandleFunc("DELETE /v1/calls/{id}", f.withCall(func(w http.ResponseWriter, r *http.Request, c *httpapi.CallDetail) {
		closeCall(c, "cancelled", r.URL.Query().Get("reason"))
		answer(w, c)
	}))
	mux.HandleFunc("POST /v1/calls/{id}/reconciliation", f.withCall(reconcile))
	mux.HandleFunc("GET /v1/upstreams", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, httpapi.List[httpapi.Upstream]{Items: []httpapi.Upstream{
			{Upstream: "ledger", Domain: "payments", Tools: 3}, {Upstream: "tracker", Domain: "work", Health: "an operator has to run `deed upstreams login tracker`"},
		}})
	})
	mux.HandleFunc("GET /v1/agents", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, httpapi.List[httpapi.Agent]{Items: []httpapi.Agent{{Agent: "copilot", Calls: 7, Denied: 2, Held: 1, Principals: []string{"alice"}, Tools: []string{"payments.refund"}}}})
	})
	mux.HandleFunc("POST /v1/revocations", func(w http.ResponseWriter, r *http.Request) {
		var n httpapi.NewRevocation
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, madeRevocation(n))
	})
	mux.HandleFunc("GET /v1/revocations", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, httpapi.List[httpapi.Revocation]{Items: []httpapi.Revocation{madeRevocation(httpapi.NewRevocation{Kind: "agent", Value: "copilot", Reason: "it went wild"})}})
	})
	mux.HandleFunc("DELETE /v1/revocations/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, httpapi.Lifted{ID: r.PathValue("id"), Reason: r.URL.Query().Get("reason"), By: "bob"})
	})
	mux.HandleFunc("POST /v1/erasure-preview", erase)
	mux.HandleFunc("POST /v1/erasures", erase)
	mux.HandleFunc("POST /v1/legal-holds", func(w http.ResponseWriter, r *http.Request) {
		var n httpapi.NewLegalHold
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, httpapi.LegalHold{ID: heldID, Scope: n.Scope, Reason: n.Reason, By: "bob", Since: time.Now().UTC()})
	})
	mux.HandleFunc("GET /v1/legal-holds", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, httpapi.List[httpapi.LegalHold]{Items: []httpapi.LegalHold{{ID: heldID, Scope: httpapi.Scope{Principal: "alice"}, Reason: "case 17", By: "bob"}}})
	})
	mux.HandleFunc("DELETE /v1/legal-holds/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, httpapi.Lifted{ID: r.PathValue("id"), Reason: r.URL.Query().Get("reason"), By: "bob"})
	})
	keys := httpapi.Keys{Key: "deed/acme+1+new", Rotations: []httpapi.KeyRotation{}}
	mux.HandleFunc("GET /v1/keys", func(w http.ResponseWriter, _ *http.Request) { answer(w, keys) })
	mux.HandleFunc("POST /v1/keys/rotations", func(w http.ResponseWriter, r *http.Request) {
		var n httpapi.NewKeyRotation
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil || n.Reason == "" {
			http.Error(w, "no reason", http.StatusBadRequest)
			return
		}
		answer(w, httpapi.Keys{Key: "deed/acme+2+newer", Rotations: []httpapi.KeyRotation{{Old: keys.Key, New: "deed/acme+2+newer"}}})
	})
	mux.HandleFunc("POST /mcp", f.mcp)
	f.server = httptest.NewServer(authenticated(mux))
	return f
}

// erase answers for two pages of calls, the second of which is open.
func erase(w http.ResponseWriter, r *http.Request) {
	var n httpapi.NewErasure
	if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if n.Cursor == "" {
		answer(w, httpapi.Erasure{Calls: 3, Payloads: 6, Bytes: 120, Held: []httpapi.HeldBack{}, Next: "two"})
		return
	}
	answer(w, httpapi.Erasure{Open: 1, Held: []httpapi.HeldBack{}})
}

func madeRevocation(n httpapi.NewRevocation) httpapi.Revocation {
	r := httpapi.Revocation{ID: heldID, Kind: n.Kind, Value: n.Value, Agents: n.Agents, Issuer: n.Issuer, Reason: n.Reason, By: "bob", Via: "person", Since: time.Now().UTC()}
	if n.Until != "" {
		r.Until, _ = time.Parse(time.RFC3339Nano, n.Until) // zero if it is none
	}
	return r
}

func heldCall() httpapi.CallDetail {
	return httpapi.CallDetail{
		HeldCall: httpapi.HeldCall{
			CallSummary: httpapi.CallSummary{
				CallID: heldID, Tool: "payments.refund", Domain: "payments", Principal: "alice", Actor: "copilot", Chain: []string{"copilot"},
				State: "held", Opened: time.Now().UTC(), Expires: time.Now().Add(14*time.Minute + 30*time.Second).UTC(),
				Policies: []string{"big-refunds"}, Effect: "hold", Approvers: []string{"lead"}, Votes: []httpapi.Vote{},
			},
			Digest: heldDigest, Arguments: []byte(`{"amount":500,"memo":"\u001b[2Jhidden"}`),
			Reasons: []audit.Reason{{Policy: "big-refunds", Effect: "forbid", Text: "Refunds over 100 need a lead."}}, MayVote: true,
		},
		Events: []httpapi.CallEvent{},
	}
}

func closedCall() httpapi.CallDetail {
	c := httpapi.CallDetail{HeldCall: httpapi.HeldCall{
		CallSummary: httpapi.CallSummary{
			CallID: closedID, Tool: "payments.refund", Domain: "payments", Principal: "alice", Actor: "copilot", Chain: []string{"copilot"},
			State: "closed", Outcome: "unknown", Code: "crash", Reason: "the broker stopped", Opened: time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC),
			Policies: []string{"support-may-refund"}, Approvers: []string{}, Votes: []httpapi.Vote{},
		},
		Arguments: []byte(`{"amount":7}`), Reasons: []audit.Reason{},
	}}
	for i, e := range []audit.Event{
		audittest.Intent(closedID, `{"amount":7}`),
		audittest.NewEvent(audit.CallUnknown, closedID, audit.Outcome{Code: audit.CodeCrash, Reason: "the broker stopped"}),
	} {
		e.Time = c.Opened.Add(time.Duration(i) * 1500 * time.Millisecond)
		stored, err := json.Marshal(e)
		if err != nil {
			panic(err) // of constants
		}
		c.Events = append(c.Events, httpapi.CallEvent{Position: audit.Position{Log: "payments/calls", Index: int64(i)}.String(), Event: stored})
	}
	return c
}

// authenticated asks everybody but readers of the metadata for a token that has not expired.
func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case strings.HasPrefix(r.URL.Path, "/.well-known/"):
		case !ok:
			httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusUnauthorized, Kind: "unauthenticated", Detail: "a bearer token is required"})
			return
		case claims(token).Expires < time.Now().Unix():
			httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusUnauthorized, Kind: "unauthenticated", Detail: "the token has expired"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

type tokenClaims struct {
	Subject string `json:"sub"`
	Expires int64  `json:"exp"`
	Actor   struct {
		Subject string `json:"sub"`
	} `json:"act"`
}

func claims(token string) (c tokenClaims) {
	if parts := strings.Split(token, "."); len(parts) == 3 {
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(text, &c) == nil {
			return c
		}
	}
	return tokenClaims{Subject: token, Expires: time.Now().Add(time.Hour).Unix()}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (f *fakeBroker) metadata(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"resource": f.server.URL + "/mcp", "authorization_servers": []string{f.issuer}})
}

func (f *fakeBroker) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	query := r.URL.Query()
	switch {
	case query.Get("state") == "held":
		answer(w, httpapi.List[httpapi.HeldCall]{Items: []httpapi.HeldCall{f.held.HeldCall}})
	case query.Get("outcome") == "bogus":
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusBadRequest, Kind: "invalid", Detail: "outcome must be one of result, failed"})
	case query.Get("person") == "nobody":
		answer(w, httpapi.List[httpapi.CallSummary]{Items: []httpapi.CallSummary{}})
	case query.Get("cursor") == "":
		answer(w, httpapi.List[httpapi.CallSummary]{Items: []httpapi.CallSummary{f.held.CallSummary}, Next: "page2"})
	default:
		answer(w, httpapi.List[httpapi.CallSummary]{Items: []httpapi.CallSummary{f.done.CallSummary}})
	}
}

func (f *fakeBroker) withCall(h func(http.ResponseWriter, *http.Request, *httpapi.CallDetail)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		switch r.PathValue("id") {
		case heldID:
			h(w, r, &f.held)
		case closedID:
			h(w, r, &f.done)
		default:
			httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusNotFound, Kind: "not_found", Detail: "there is no call of this id that you may read"})
		}
	}
}

func vote(w http.ResponseWriter, r *http.Request, c *httpapi.CallDetail) {
	var body httpapi.Approval
	by := claims(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	switch err := json.NewDecoder(r.Body).Decode(&body); {
	case err != nil:
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusBadRequest, Kind: "invalid", Detail: "the body is no vote"})
	case by.Subject == "alice":
		httpapi.WriteProblem(w, httpapi.Problem{
			Status: http.StatusForbidden, Kind: "denied", Detail: "you may not decide on this call", CallID: c.CallID,
			Reasons: []audit.Reason{{Policy: "four-eyes", Effect: "forbid", Text: "Nobody approves their own call."}},
		})
	case body.Digest != c.Digest:
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusConflict, Kind: "conflict", Detail: "the digest is that of another call"})
	case c.State != "held":
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusConflict, Kind: "conflict", Detail: "the call has been decided already"})
	case body.Verdict == "approve":
		c.State = "released"
		c.Votes = append(c.Votes, httpapi.Vote{By: by.Subject, At: time.Now().UTC(), Reason: body.Reason})
		answer(w, c)
	default:
		closeCall(c, "denied", body.Reason)
		answer(w, c)
	}
}

func closeCall(c *httpapi.CallDetail, outcome, reason string) {
	c.State, c.Outcome, c.Reason, c.Closed = "closed", outcome, reason, time.Now().UTC()
}

func reconcile(w http.ResponseWriter, r *http.Request, c *httpapi.CallDetail) {
	var body httpapi.Finding
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.Happened == nil {
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusBadRequest, Kind: "invalid", Detail: "happened must be true or false"})
		return
	}
	c.Reconciled = &httpapi.Reconciliation{Happened: *body.Happened, By: "bob", Note: body.Note}
	answer(w, c)
}

// mcp answers tools/list, and calls by the name of their tool.
func (f *fakeBroker) mcp(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Params struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		httpapi.WriteProblem(w, httpapi.Problem{Status: http.StatusBadRequest, Kind: "invalid", Detail: "the body is not JSON"})
		return
	}
	by := claims(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	result := map[string]any{"tools": []any{map[string]any{"name": "files__read", "description": "reads a file\nof the sandbox", "inputSchema": map[string]any{"type": "object"}}}}
	if m.Method == "tools/call" {
		result = called(m.Params.Name, m.Params.Arguments, by)
	}
	answer(w, map[string]any{"jsonrpc": "2.0", "id": m.ID, "result": result})
}

func called(tool string, arguments json.RawMessage, by tokenClaims) map[string]any {
	say := func(text string, isError bool, meta map[string]any) map[string]any {
		meta["dev.deed/call_id"] = heldID
		return map[string]any{"content": []any{map[string]any{"type": "text", "text": text}}, "isError": isError, "_meta": meta}
	}
	refuse := func(kind, text string) map[string]any {
		return say(strings.ReplaceAll(kind, "_", " ")+": "+text, true, map[string]any{"dev.deed/refusal": map[string]any{
			"kind": kind, "call_id": heldID, "retry_after": 2, "reasons": []any{map[string]any{"policy": "no-secrets", "reason": "Not this file."}},
		}})
	}
	switch tool {
	case "files__broken":
		return say("disk on fire", true, map[string]any{})
	case "files__secret":
		return refuse("denied", "policy no-secrets denies this call")
	case "files__busy":
		return refuse("overloaded", "too many calls at once")
	case "files__lost":
		return refuse("outcome_unknown", "the upstream died while the call ran")
	case "payments__refund":
		return say("held", false, map[string]any{"dev.deed/pending": map[string]any{
			"call_id": heldID, "tool": "payments.refund", "approvers": []string{"lead"}, "expires": time.Now().Add(time.Hour),
			"reasons": []any{map[string]any{"policy": "big-refunds", "reason": "Refunds over 100 need a lead."}},
		}})
	default:
		return say(tool+" "+string(arguments)+" by "+by.Actor.Subject+" for "+by.Subject, false, map[string]any{})
	}
}
