package openapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/openapi"
	"github.com/deedbroker/deed/tools/toolstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func open(t *testing.T, c openapi.Config) *openapi.Upstream {
	t.Helper()
	u, err := openapi.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	u := open(t, openapi.Config{Document: "testdata/shop.yaml", Base: "http://127.0.0.1:1/api/"})
	toolstest.Start(t, u)
	raws, err := u.Definitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, raw := range raws {
		if err := json.Indent(&got, raw, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
	}
	const golden = "testdata/shop.golden"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("definitions (-want +got):\n%s", diff)
	}
}

// echo is a service that answers with the request that it got.
func echo(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"request": r.Method + " " + r.RequestURI, "header": r.Header, "body": string(body), "host": r.Host})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

type echoed struct {
	Request string      `json:"request"`
	Header  http.Header `json:"header"`
	Body    string      `json:"body"`
}

func structured(t *testing.T, a tools.Answer, into any) {
	t.Helper()
	result := struct {
		Structured any `json:"structuredContent"`
	}{into}
	if err := json.Unmarshal(a.Raw, &result); err != nil {
		t.Fatalf("%s: %v", a.Raw, err)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	s := echo(t)
	u := open(t, openapi.Config{Document: "testdata/shop.yaml", Base: s.URL + "/api", Headers: map[string]string{"X-Tenant": "acme"}})
	toolstest.Start(t, u)
	for _, c := range []struct{ tool, args, request, body string }{
		{"replace_order", `{"id":"7/8","body":{"item":"tea","quantity":1.0},"note":"a b"}`, "PUT /api/orders/7%2F8?note=a%20b", `{"item":"tea","quantity":1.0}`},
		{"get_orders__id", `{"id":"ü"}`, "GET /api/orders/%C3%BC", ""},
		{"Place_Order_000000", `{"id":"9"}`, "DELETE /api/orders/9", ""},
		{"place_order_000000", `{"address":{"city":"Ulm"},"item":"tea","quantity":2}`, "POST /api/orders", `{"address":{"city":"Ulm"},"item":"tea","quantity":2}`},
	} {
		c.tool = named(t, u, c.tool)
		a, err := u.Call(t.Context(), tools.Call{ID: "call-1", Tool: c.tool, Arguments: json.RawMessage(c.args), IdempotencyKey: "key-1", TraceParent: "00-1-2-01"})
		if err != nil {
			t.Errorf("%s: %v", c.tool, err)
			continue
		}
		var got echoed
		structured(t, a, &got)
		if got.Request != c.request || got.Body != c.body {
			t.Errorf("%s: got %s with %s, want %s with %s", c.tool, got.Request, got.Body, c.request, c.body)
		}
		if got.Header.Get("X-Tenant") != "acme" || got.Header.Get("Traceparent") != "00-1-2-01" {
			t.Errorf("%s: headers %v", c.tool, got.Header)
		}
		if key := got.Header.Get("Idempotency-Key"); (key == "key-1") != strings.HasPrefix(c.request, "POST") {
			t.Errorf("%s: idempotency key %q", c.tool, key)
		}
	}
}

// named is the tool whose name begins like name, up to the digest.
func named(t *testing.T, u *openapi.Upstream, name string) string {
	t.Helper()
	raws, err := u.Definitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range raws {
		d, err := tools.ParseDefinition(raw)
		if err != nil {
			t.Fatal(err)
		}
		if d.Name == name || len(name) > 7 && strings.HasPrefix(d.Name, name[:len(name)-6]) && len(d.Name) == len(name) {
			return d.Name
		}
	}
	t.Fatalf("no tool is called like %s: %s", name, bytes.Join(asBytes(raws), []byte("\n")))
	return ""
}

func asBytes(raws []json.RawMessage) [][]byte {
	var all [][]byte
	for _, raw := range raws {
		all = append(all, raw[:min(len(raw), 80)])
	}
	return all
}

func TestArgumentsStayInTheirPlace(t *testing.T) {
	t.Parallel()
	s := echo(t)
	u := open(t, openapi.Config{Document: "testdata/shop.yaml", Base: s.URL + "/api"})
	toolstest.Start(t, u)
	for _, id := range []string{"..", ".", "", "../admin/keys", `..\admin`, "x/../../admin", "..;x"} {
		args, err := json.Marshal(map[string]string{"id": id})
		if err != nil {
			t.Fatal(err)
		}
		a, err := u.Call(t.Context(), tools.Call{Tool: "get_orders__id", Arguments: args})
		if _, refused := errors.AsType[*tools.RPCError](err); !refused {
			t.Errorf("id %q: %s, %v; want a refusal", id, a.Raw, err)
		}
	}
	for _, args := range []string{
		`{"X-Tenant":"a\r\nHost: b"}`,
		`{"cart":"a; session=b","X-Tenant":"x\u0000"}`,
	} {
		a, err := u.Call(t.Context(), tools.Call{Tool: "listOrders", Arguments: json.RawMessage(args)})
		if _, refused := errors.AsType[*tools.RPCError](err); !refused {
			t.Errorf("%s: %s, %v; want a refusal", args, a.Raw, err)
		}
	}
	a, err := u.Call(t.Context(), tools.Call{Tool: "listOrders", Arguments: json.RawMessage(
		`{"cart":"a; session=b","X-Tenant":"t","q":"x&state=y","state":["open","a&b"],"filter":{"min":3}}`)})
	if err != nil {
		t.Fatal(err)
	}
	var got echoed
	structured(t, a, &struct{ Result *echoed }{&got})
	if want := "GET /api/orders?filter%5Bmin%5D=3&q=x%26state%3Dy&state=open&state=a%26b"; got.Request != want {
		t.Errorf("got %s, want %s", got.Request, want)
	}
	if want := "cart=a%3B%20session%3Db"; got.Header.Get("Cookie") != want {
		t.Errorf("cookie %q, want %q", got.Header.Get("Cookie"), want)
	}
}

// service serves a document at /openapi.json and handle below /.
func service(t *testing.T, document string, handle http.HandlerFunc) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, document) })
	mux.HandleFunc("/", handle)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

const small = `{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{
"/ok":{"get":{"operationId":"ok","responses":{"200":{"description":"ok"}}}},
"/hang":{"get":{"operationId":"hang","responses":{"200":{"description":"ok"}}}},
"/fail":{"get":{"operationId":"fail","responses":{"200":{"description":"ok"}}}},
"/do":{"post":{"operationId":"do","parameters":[{"name":"how","in":"query","schema":{"type":"string","nullable":true,"enum":["a"]}}],"responses":{"200":{"description":"ok"}}}}}}`

func TestContract(t *testing.T) {
	t.Parallel()
	toolstest.Run(t, func(t *testing.T) toolstest.Subject {
		t.Helper()
		stop := make(chan struct{})
		s := service(t, small, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/ok":
				_, _ = io.WriteString(w, "fine")
			case "/hang":
				select {
				case <-r.Context().Done():
				case <-stop:
				}
			default:
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusConflict)
				_, _ = io.WriteString(w, `{"title":"Taken","detail":"somebody has it"}`)
			}
		})
		t.Cleanup(func() { close(stop) })
		return toolstest.Subject{
			Upstream: open(t, openapi.Config{Document: s.URL + "/openapi.json"}),
			Succeeds: toolstest.Case{Tool: "ok", Arguments: `{}`, Want: "fine"},
			Fails:    &toolstest.Case{Tool: "fail", Arguments: `{}`, Want: "HTTP 409 Conflict: Taken: somebody has it"},
			Hangs:    &toolstest.Case{Tool: "hang", Arguments: `{}`},
		}
	})
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	elsewhere := echo(t)
	handle := map[string]http.HandlerFunc{
		"json": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, ` {"n":12345678901234567890}`)
		},
		"list": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `[1]`)
		},
		"empty": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"image": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write([]byte{1, 2})
		},
		"bytes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x")
			_, _ = w.Write([]byte{0xff})
		},
		"big": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), 1<<20)) },
		"busy": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		},
		"away": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"changes": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusSeeOther) },
		"moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/ok?how=json", http.StatusTemporaryRedirect)
		},
		"gateway": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) },
		"broken": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			_, _ = io.WriteString(w, "{")
		},
		"fastapi": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, `{"detail":[{"loc":["body"]}]}`)
		},
		"password": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
	}
	s := service(t, strings.ReplaceAll(small, `"enum":["a"]`, `"minLength":1`), func(w http.ResponseWriter, r *http.Request) {
		handle[r.URL.Query().Get("how")](w, r)
	})
	u := open(t, openapi.Config{Document: s.URL + "/openapi.json", MaxAnswer: 64 << 10})
	toolstest.Start(t, u)
	for how, want := range map[string]string{
		"json":     `{"content":[{"type":"text","text":" {\"n\":12345678901234567890}"}],"structuredContent":{"n":12345678901234567890}}`,
		"list":     `{"content":[{"type":"text","text":"[1]"}]}`,
		"empty":    `{"content":[{"type":"text","text":"HTTP 204 No Content"}]}`,
		"image":    `{"content":[{"type":"image","data":"AQI=","mimeType":"image/png"}]}`,
		"bytes":    `{"content":[{"type":"resource","resource":{"uri":"deed:answer","mimeType":"application/x","blob":"/w=="}}]}`,
		"big":      `{"content":[{"type":"text","text":"done (HTTP 200 OK), but the answer is larger than 65536 bytes and not given; do not repeat the call"}]}`,
		"busy":     `{"content":[{"type":"text","text":"HTTP 503 Service Unavailable; call again after 7 seconds"}],"isError":true}`,
		"away":     `{"content":[{"type":"text","text":"HTTP 307 Temporary Redirect; redirects that lead elsewhere are not followed"}],"isError":true}`,
		"changes":  `{"content":[{"type":"text","text":"HTTP 303 See Other; redirects that lead elsewhere are not followed"}],"isError":true}`,
		"moved":    `{"content":[{"type":"text","text":" {\"n\":12345678901234567890}"}],"structuredContent":{"n":12345678901234567890}}`,
		"gateway":  tools.ErrUncertain.Error() + ": it answered with HTTP status 504",
		"broken":   tools.ErrUncertain.Error() + ": the service's answer broke off: unexpected EOF",
		"fastapi":  `{"content":[{"type":"text","text":"HTTP 422 Unprocessable Entity"},{"type":"text","text":"{\"detail\":[{\"loc\":[\"body\"]}]}"}],"isError":true}`,
		"password": `{"content":[{"type":"text","text":"HTTP 401 Unauthorized; the service did not take the broker's credentials"}],"isError":true}`,
	} {
		a, err := u.Call(t.Context(), tools.Call{Tool: "do", Arguments: fmt.Appendf(nil, `{"how":%q}`, how)})
		got := string(a.Raw)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s\nwant %s", how, got, want)
		}
	}
}

func TestDocumentsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	with := func(server string) string {
		return strings.Replace(small, `"paths"`, `"servers":[{"url":"`+server+`"}],"paths"`, 1)
	}
	for document, want := range map[string]string{
		"{":                             "it is not valid",
		`{"swagger":"2.0","paths":{}}`:  "its version is",
		with("http://169.254.169.254/"): "its server is not where the document is",
		with("http://u:p@127.0.0.1/"):   "user information",
		with("file:///etc"):             "must be http or https",
		strings.ReplaceAll(small, `"schema":{`, `"schema":{"$ref":"http://127.0.0.1/x","x":{`) + "}":            "it is not valid",
		strings.ReplaceAll(small, `{"type":"string","nullable":true,"enum":["a"]}`, `{"$ref":"other.json#/x"}`): "which is another document; bundle them into one",
		strings.Repeat(" ", 9<<20): "it is larger than",
	} {
		s := service(t, document, http.NotFound)
		u := open(t, openapi.Config{Document: s.URL + "/openapi.json"})
		openapi.Read(t.Context(), u)
		if err := u.Health(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s…: %v, want %s", document, err, want)
		}
		if _, err := u.Call(t.Context(), tools.Call{Tool: "ok"}); !errors.Is(err, tools.ErrNotSent) {
			t.Errorf("%.60s…: a call gave %v", document, err)
		}
	}
}

func TestChangedDocument(t *testing.T) {
	t.Parallel()
	var version, unchanged atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		tag := fmt.Sprintf(`"%d"`, version.Load())
		if r.Header.Get("If-None-Match") == tag {
			unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", tag)
		_, _ = io.WriteString(w, strings.ReplaceAll(small, `"/do"`, fmt.Sprintf(`"/do%d"`, version.Load())))
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	u := open(t, openapi.Config{Document: s.URL + "/openapi.json"})
	openapi.Read(t.Context(), u)
	before := digest(t, u, "do")
	openapi.Read(t.Context(), u)
	if unchanged.Load() != 1 || digest(t, u, "do") != before {
		t.Errorf("the same document was read %d times as unchanged", unchanged.Load())
	}
	version.Add(1)
	openapi.Read(t.Context(), u)
	if digest(t, u, "do") == before {
		t.Error("another path is no other definition")
	}
	_, err := u.Call(t.Context(), tools.Call{Tool: "do", Definition: before})
	if !errors.Is(err, tools.ErrNotSent) || !errors.Is(err, tools.ErrChanged) {
		t.Errorf("a call by the old definition gave %v", err)
	}
	s.Close()
	openapi.Read(t.Context(), u)
	if u.Health() == nil {
		t.Error("the upstream is healthy though its document cannot be read")
	}
	if _, err := u.Definitions(t.Context()); err != nil {
		t.Errorf("what was known is forgotten: %v", err)
	}
}

func digest(t *testing.T, u *openapi.Upstream, tool string) string {
	t.Helper()
	raws, err := u.Definitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range raws {
		if d, err := tools.ParseDefinition(raw); err == nil && d.Name == tool {
			return d.Digest
		}
	}
	t.Fatalf("there is no %s", tool)
	return ""
}

func TestSelection(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]openapi.Selection{
		"keys":                           {Include: []openapi.Match{{Tag: "admin"}}},
		"get_orders__id keys listOrders": {Include: []openapi.Match{{Method: "get"}}, Exclude: []openapi.Match{{ID: "nothing*"}}},
		"get_orders__id replace_order":   {Include: []openapi.Match{{Path: "/orders/{id}"}}, Exclude: []openapi.Match{{Method: "DELETE"}}},
		"listOrders":                     {Include: []openapi.Match{{Path: "/orders/**", Method: "GET"}, {Path: "/orders", ID: "list*"}}, Exclude: []openapi.Match{{Path: "/orders/*"}}},
		"get_orders__id":                 {Include: []openapi.Match{{Path: "/orders/**", Method: "GET"}}, Exclude: []openapi.Match{{Tag: "orders"}}},
	} {
		u := open(t, openapi.Config{Document: filepath.Join("testdata", "shop.yaml"), Base: "http://127.0.0.1:1", Operations: s})
		openapi.Read(t.Context(), u)
		raws, err := u.Definitions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, raw := range raws {
			d, err := tools.ParseDefinition(raw)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, d.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%+v selects %s, want %s", s, got, want)
		}
	}
	if _, err := openapi.New(openapi.Config{Document: "x", Operations: openapi.Selection{Include: []openapi.Match{{}}}}); err == nil {
		t.Error("an entry that says nothing is accepted")
	}
}

func TestServiceThatIsAway(t *testing.T) {
	t.Parallel()
	u := open(t, openapi.Config{Document: "testdata/shop.yaml", Base: "http://127.0.0.1:1"})
	toolstest.Start(t, u)
	_, err := u.Call(t.Context(), tools.Call{Tool: "keys"})
	if !errors.Is(err, tools.ErrNotSent) || strings.Contains(err.Error(), "keys") {
		t.Errorf("error %v, want ErrNotSent without the URL", err)
	}
}
