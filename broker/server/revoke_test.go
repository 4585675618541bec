package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/deedbroker/deed/agents/agentstest"
	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/live"
)

const leadsRevoke = `permit (principal in Role::"lead", action == Action::"revoke", resource);`

// send makes a request as somebody, with a JSON body if there is one.
func (r *running) send(t *testing.T, method, path, token, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.url()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	response, err := r.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() }) // closed twice at most
	return response
}

func (r *running) revoke(t *testing.T, body string) httpapi.Revocation {
	t.Helper()
	response := r.send(t, http.MethodPost, "/v1/revocations", r.bob(), body)
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d: %s %v", response.StatusCode, text, err)
	}
	var made httpapi.Revocation
	if err := json.Unmarshal(text, &made); err != nil {
		t.Fatal(err)
	}
	return made
}

func (r *running) bob() string {
	return r.issuer.Token(r.issuer.PersonClaims("bob", "console", "lead"))
}

// agent is a token of copilot for alice, of one login.
func (r *running) agent(sid string) string {
	return r.issuer.Token(r.issuer.DelegatedClaims("alice", "copilot").With(agentstest.Claims{"roles": []string{"support"}, "sid": sid}))
}

// TestRevocationEndsEverything: what the revoked have open ends at once, and what they
// ask for is refused, with 401 where another token would do and 403 where not.
func TestRevocationEndsEverything(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	rig.write(t, rules+leadsRevoke)
	r := rig.start(t)

	viewer := r.issuer.Token(r.issuer.PersonClaims("alice", "console", "support").With(agentstest.Claims{"sid": "s-1"}))
	ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(r.url(), "http")+"/v1/stream", http.Header{"Authorization": {"Bearer " + viewer}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close() //nolint:errcheck // it has ended
	opened := r.send(t, http.MethodPost, "/mcp", r.agent("s-1"), `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`)
	session := opened.Header.Get("Mcp-Session-Id")
	if opened.StatusCode != http.StatusOK || session == "" {
		t.Fatalf("initialize: HTTP %d", opened.StatusCode)
	}
	stream := r.listen(t, r.agent("s-1"), session)

	made := r.revoke(t, `{"kind":"session","value":"s-1","issuer":"`+r.issuer.URL+`","reason":"left logged in"}`)

	if _, err := io.ReadAll(stream); err != nil {
		t.Errorf("the stream of notifications ended by %v", err)
	}
	for err == nil {
		_, _, err = ws.ReadMessage()
	}
	if !websocket.IsCloseError(err, live.CloseExpired) {
		t.Errorf("the stream of records ended by %v", err)
	}
	refused := r.send(t, http.MethodPost, "/mcp", r.agent("s-1"), `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`)
	if challenge := refused.Header.Get("WWW-Authenticate"); refused.StatusCode != http.StatusUnauthorized || !strings.Contains(challenge, `error="invalid_token"`) {
		t.Errorf("the session is answered by HTTP %d, %s", refused.StatusCode, challenge)
	}
	if code, body := r.get(t, "/v1/whoami", viewer); code != http.StatusUnauthorized {
		t.Errorf("its person is answered by HTTP %d: %s", code, body)
	}
	if _, err := r.copilot(t).Call(t.Context(), "payments.accounts", nil, client.CallOptions{}); err != nil {
		t.Errorf("another login is stopped too: %v", err)
	}

	r.revoke(t, `{"kind":"agent","value":"copilot","reason":"it went wild"}`)
	refused = r.send(t, http.MethodPost, "/mcp", r.agent("s-2"), `{"jsonrpc":"2.0","id":3,"method":"tools/list"}`)
	if refused.StatusCode != http.StatusForbidden || refused.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("the agent is answered by HTTP %d, %s", refused.StatusCode, refused.Header.Get("WWW-Authenticate"))
	}
	if lifted := r.send(t, http.MethodDelete, "/v1/revocations/"+made.ID+"?reason=fine", r.agent("s-2"), ""); lifted.StatusCode != http.StatusForbidden {
		t.Errorf("an agent lifts: HTTP %d", lifted.StatusCode)
	}
	if lifted := r.send(t, http.MethodDelete, "/v1/revocations/"+made.ID+"?reason=fine", r.bob(), ""); lifted.StatusCode != http.StatusOK {
		t.Errorf("bob cannot lift: HTTP %d", lifted.StatusCode)
	}
	if code, body := r.get(t, "/v1/whoami", viewer); code != http.StatusOK {
		t.Errorf("after the lifting its person is answered by HTTP %d: %s", code, body)
	}
	if _, body := r.get(t, "/v1/revocations", r.bob()); !strings.Contains(body, "copilot") || strings.Contains(body, made.ID) {
		t.Errorf("in force are %s", body)
	}
}

// listen opens a session's stream of notifications, and reads its beginning.
func (r *running) listen(t *testing.T, token, session string) io.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("the stream did not end"))
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url()+"/mcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Mcp-Session-Id", session)
	response, err := r.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() }) // it has ended
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET /mcp: HTTP %d", response.StatusCode)
	}
	return bufio.NewReader(response.Body)
}
