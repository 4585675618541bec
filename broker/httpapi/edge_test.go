package httpapi_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker/httpapi"
)

func TestWithoutGoodCredentialsNothingIsAnswered(t *testing.T) {
	t.Parallel()
	r := start(t)
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	type want struct {
		status    int
		challenge string // part of WWW-Authenticate
		rejected  agents.Kind
	}
	tests := map[string]struct {
		header http.Header
		want   want
	}{
		"nothing":            {header(), want{401, `resource_metadata="https://deed.example/.well-known/oauth-protected-resource"`, agents.Missing}},
		"another scheme":     {header("Authorization", "Basic Zm9v"), want{401, "Bearer", agents.Missing}},
		"no token":           {header("Authorization", "Bearer "), want{400, "invalid_request", agents.Malformed}},
		"not a token":        {header("Authorization", "Bearer a b"), want{400, "invalid_request", agents.Malformed}},
		"two headers":        {header("Authorization", "Bearer bob", "Authorization", "Bearer bob"), want{400, "invalid_request", agents.Malformed}},
		"too long":           {header("Authorization", "Bearer "+strings.Repeat("a", 17<<10)), want{400, "invalid_request", agents.Malformed}},
		"unknown cookie":     {header("Cookie", "deed_session=mallory"), want{401, "Bearer", agents.Missing}},
		"expired session":    {header("Cookie", "deed_session=expired"), want{401, "Bearer", ""}},
		"bad token, session": {header("Authorization", "Bearer bad-expired", "Cookie", "deed_session=bob"), want{401, "invalid_token", agents.Expired}},
		"provider trouble":   {header("Authorization", "Bearer bad-provider_trouble"), want{503, "", agents.ProviderTrouble}},
		"verifier fails":     {header("Authorization", "Bearer broken"), want{500, "", ""}},
	}
	for _, kind := range []agents.Kind{
		agents.Malformed, agents.UnknownIssuer, agents.BadAlgorithm, agents.UnknownKey, agents.BadSignature, agents.WrongAudience,
		agents.WrongType, agents.Expired, agents.NotYetValid, agents.TooLong, agents.NoSubject, agents.BadChain, agents.SenderBound,
	} {
		tests["token: "+string(kind)] = struct {
			header http.Header
			want   want
		}{header("Authorization", "Bearer bad-"+string(kind)), want{401, `error="invalid_token", error_description="` + (&agents.Rejection{Kind: kind}).Public(), kind}}
	}
	for name, test := range tests {
		for _, path := range []string{"/v1/whoami", "/v1/stream"} {
			if path == "/v1/stream" && test.header.Get("Authorization") == "" {
				continue // see the origins of the stream
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.server.URL+path, nil)
			must(t, err)
			req.Header = test.header.Clone()
			if path == "/v1/stream" {
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "websocket")
			}
			r.rejections = nil
			resp := r.do(req)
			p := answer[httpapi.Problem](r, resp, test.want.status)
			if !strings.Contains(resp.Header.Get("WWW-Authenticate"), test.want.challenge) || (test.want.challenge == "") != (resp.Header.Get("WWW-Authenticate") == "") {
				t.Errorf("%s %s: challenge %q, want %q", name, path, resp.Header.Get("WWW-Authenticate"), test.want.challenge)
			}
			var rejected []agents.Kind
			if test.want.rejected != "" {
				rejected = []agents.Kind{test.want.rejected}
			}
			if diff := cmp.Diff(rejected, r.rejections); diff != "" {
				t.Errorf("%s %s: rejections (-want +got):\n%s", name, path, diff)
			}
			if p.Status != test.want.status || p.Detail == "" || strings.Contains(p.Detail, "verifier") {
				t.Errorf("%s %s: %+v", name, path, p)
			}
		}
	}
}

func TestAPersonsCookieServesTheirOwnPagesOnly(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, test := range map[string]struct {
		method string
		header map[string]string
		want   int
	}{
		"reading":                   {http.MethodGet, nil, http.StatusNotFound},
		"own page":                  {http.MethodDelete, map[string]string{"Sec-Fetch-Site": "same-origin"}, http.StatusNotFound},
		"own page, older browser":   {http.MethodDelete, map[string]string{"Origin": r.server.URL}, http.StatusNotFound},
		"canonical page":            {http.MethodDelete, map[string]string{"Origin": "https://deed.example", "Sec-Fetch-Site": "cross-site"}, http.StatusNotFound},
		"another site":              {http.MethodDelete, map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, http.StatusForbidden},
		"a sibling site":            {http.MethodDelete, map[string]string{"Sec-Fetch-Site": "same-site"}, http.StatusForbidden},
		"another site, old browser": {http.MethodDelete, map[string]string{"Origin": "https://evil.example"}, http.StatusForbidden},
		"nobody says":               {http.MethodDelete, nil, http.StatusForbidden},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, r.server.URL+"/v1/calls/00000000-0000-7000-8000-000000000000", nil)
		must(t, err)
		req.AddCookie(&http.Cookie{Name: "deed_session", Value: "bob"})
		for k, v := range test.header {
			req.Header.Set(k, v)
		}
		r.rejections = nil
		if resp := r.do(req); resp.StatusCode != test.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, test.want)
		}
		if counted := slices.Equal(r.rejections, []agents.Kind{agents.ForeignOrigin}); counted != (test.want == http.StatusForbidden) {
			t.Errorf("%s: %q were counted", name, r.rejections)
		}
	}
}

func TestWhoAmI(t *testing.T) {
	t.Parallel()
	r := start(t)
	if got := get[httpapi.WhoAmI](r, "copilot", "/v1/whoami"); got.Person || !cmp.Equal(got.Chain, []string{"copilot"}) || got.Principal != "alice" {
		t.Errorf("copilot is %+v", got)
	}
	if got := get[httpapi.WhoAmI](r, "bob", "/v1/whoami"); !got.Person || len(got.Chain) != 0 || !cmp.Equal(got.Roles, []string{"lead"}) || !got.Expires.Equal(bob.Expires) {
		t.Errorf("bob is %+v", got)
	}
}

func TestRequestsAreReadStrictly(t *testing.T) {
	t.Parallel()
	r := start(t)
	const some = "/v1/calls/00000000-0000-7000-8000-000000000000"
	for name, test := range map[string]struct {
		method, path, body string
		want               int
	}{
		"unknown parameter":      {"GET", "/v1/calls?staet=held", "", 400},
		"repeated parameter":     {"GET", "/v1/calls?state=held&state=closed", "", 400},
		"parameter of nothing":   {"GET", "/v1/policy?x=1", "", 400},
		"query that is none":     {"GET", "/v1/calls?q=%zz", "", 400},
		"unknown state":          {"GET", "/v1/calls?state=open", "", 400},
		"unknown outcome":        {"GET", "/v1/calls?outcome=ok", "", 400},
		"limit too large":        {"GET", "/v1/calls?limit=501", "", 400},
		"limit of none":          {"GET", "/v1/calls?limit=0", "", 400},
		"limit that is none":     {"GET", "/v1/tools?limit=ten", "", 400},
		"time that is none":      {"GET", "/v1/calls?since=yesterday", "", 400},
		"cursor that is none":    {"GET", "/v1/calls?cursor=x", "", 400},
		"held cursor":            {"GET", "/v1/calls?state=held&cursor=%21", "", 400},
		"held by words":          {"GET", "/v1/calls?state=held&q=x", "", 400},
		"text with a zero":       {"GET", "/v1/calls?q=%00", "", 400},
		"a long parameter":       {"GET", "/v1/calls?q=" + strings.Repeat("a", 5000), "", 400},
		"id that is none":        {"GET", "/v1/calls/x", "", 404},
		"id of nothing":          {"GET", some, "", 404},
		"vote on nothing":        {"POST", some + "/approvals", `{"verdict":"approve","digest":"","reason":""}`, 404},
		"vote, unknown member":   {"POST", some + "/approvals", `{"verdict":"approve","digest":"","force":true}`, 400},
		"vote, member twice":     {"POST", some + "/approvals", `{"verdict":"approve","verdict":"deny"}`, 400},
		"vote, another case":     {"POST", some + "/approvals", `{"Verdict":"approve"}`, 400},
		"vote, wrong type":       {"POST", some + "/approvals", `{"verdict":1}`, 400},
		"vote, null":             {"POST", some + "/approvals", `null`, 400},
		"vote, trailing":         {"POST", some + "/approvals", `{} {}`, 400},
		"vote, too large":        {"POST", some + "/approvals", `{"reason":"` + strings.Repeat("a", 5000) + `"}`, 413},
		"vote, no body":          {"POST", some + "/approvals", "", 415},
		"finding without answer": {"POST", some + "/reconciliation", `{"note":"x"}`, 400},
		"no resource":            {"GET", "/v1/nothing", "", 404},
		"no method":              {"PUT", "/v1/calls", "", 405},
		"no method on one":       {"PATCH", some, "", 405},
	} {
		resp := r.request("bob", test.method, test.path, test.body)
		p := answer[httpapi.Problem](r, resp, test.want)
		if resp.Header.Get("Content-Type") != "application/problem+json" || p.Type != "about:blank" || p.Title == "" || p.Detail == "" || p.Kind == "" {
			t.Errorf("%s: %s %+v", name, resp.Header.Get("Content-Type"), p)
		}
		if test.want == 405 && resp.Header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", name)
		}
	}
}

func TestAnswersStayOutOfCachesAndFrames(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, who := range []string{"bob", ""} {
		h := r.request(who, http.MethodGet, "/v1/whoami", "").Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Referrer-Policy": "no-referrer", "Access-Control-Allow-Origin": "",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
}

func TestOperationsNeedNoToken(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, path := range []string{"/healthz", "/metrics", "/v1/openapi.json"} {
		if resp := r.request("", http.MethodGet, path, ""); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	if ready := get[httpapi.Readiness](r, "", "/readyz"); !ready.Ready || len(ready.Checks) != 1 {
		t.Errorf("ready = %+v", ready)
	}
	r.ready = errors.New("no space left")
	not := answer[httpapi.Readiness](r, r.request("", http.MethodGet, "/readyz", ""), http.StatusServiceUnavailable)
	if want := (httpapi.CheckResult{Name: "log", Detail: "no space left"}); not.Ready || !cmp.Equal(not.Checks, []httpapi.CheckResult{want}) {
		t.Errorf("not ready = %+v", not)
	}
}

// TestTheStreamOfARealBroker follows a call through the real log, broker and policies.
func TestTheStreamOfARealBroker(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.call("hello")
	r.indexed()
	types := func(who string, count int) []string {
		t.Helper()
		ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(r.server.URL, "http")+"/v1/stream?cursor=start",
			http.Header{"Authorization": {"Bearer " + who}})
		must(t, err)
		defer func() { _ = ws.Close() }()
		var got []string
		for caughtUp := false; !caughtUp || len(got) < count; {
			var m struct {
				Type  string `json:"type"`
				Event struct {
					Type    string `json:"type"`
					Subject string `json:"subject"`
				} `json:"event"`
			}
			_, b, err := ws.ReadMessage()
			must(t, err)
			must(t, json.Unmarshal(b, &m))
			switch m.Type {
			case "record":
				if m.Event.Subject != "" {
					got = append(got, m.Event.Type)
				}
			case "caught_up":
				caughtUp = true
				if who == "carol" {
					r.call("secret")
				}
			}
		}
		return got
	}
	want := []string{"dev.deed.call.intent.v1", "dev.deed.call.result.v1", "dev.deed.call.denied.v1"}
	if diff := cmp.Diff(want, types("carol", 3)); diff != "" {
		t.Errorf("carol sees (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, types("alice", 3)); diff != "" {
		t.Errorf("alice sees (-want +got):\n%s", diff)
	}
	if got := types("erin", 0); len(got) != 0 {
		t.Errorf("erin sees %v", got)
	}
}

func TestABodyThatDoesNotArriveIsGivenUp(t *testing.T) {
	t.Parallel()
	r := startWithin(t, 300*time.Millisecond)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(r.server.URL, "http://"))
	must(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST /v1/calls/00000000-0000-7000-8000-000000000000/approvals HTTP/1.1\r\nHost: x\r\n"+
		"Authorization: Bearer bob\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("answered %s", resp.Status)
	}
}
