package openapi_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/openapi"
	"github.com/deedbroker/deed/tools/toolstest"
)

// uploads is a service that says what it was sent.
func uploads(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := map[string]any{}
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			got[r.Header.Get("Content-Type")] = string(body)
		} else if parts, err := r.MultipartReader(); err != nil {
			t.Error(err)
		} else {
			for p, err := parts.NextPart(); err == nil; p, err = parts.NextPart() {
				content, err := io.ReadAll(p)
				if err != nil {
					t.Error(err)
				}
				list, _ := got[p.FormName()].([]string)
				got[p.FormName()] = append(list, strings.TrimSpace(p.Header.Get("Content-Type")+" "+p.FileName()+" "+string(content)))
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(got)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestUploads(t *testing.T) {
	t.Parallel()
	u := open(t, openapi.Config{Document: "testdata/shop.yaml", Base: uploads(t)})
	toolstest.Start(t, u)
	for _, tt := range []struct {
		tool, args string
		want       map[string]any
	}{
		{
			"upload", `{"scan":"AP8=","more":["YQ==","Yg=="],"note":"a\r\nb","tags":["x","y"],"place":{"city":"Ulm"}}`,
			map[string]any{
				"scan": []any{"application/octet-stream scan \x00\ufffd"}, "more": []any{"application/octet-stream more a", "application/octet-stream more b"},
				"note": []any{"a\r\nb"}, "tags": []any{"x", "y"}, "place": []any{`application/json  {"city":"Ulm"}`},
			},
		},
		{"upload", `{"scan":""}`, map[string]any{"scan": []any{"application/octet-stream scan"}}},
		{"raw", `{"body":"JVBERg=="}`, map[string]any{"application/pdf": "%PDF"}},
		{"feed", `{"body":"<feed/>"}`, map[string]any{"application/atom+xml": "<feed/>"}},
	} {
		a, err := u.Call(t.Context(), tools.Call{Tool: tt.tool, Arguments: json.RawMessage(tt.args)})
		if err != nil {
			t.Errorf("%s: %v", tt.tool, err)
			continue
		}
		got := map[string]any{}
		structured(t, a, &got)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.tool, tt.args, diff)
		}
	}
	for tool, args := range map[string]string{"upload": `{"scan":"not base64"}`, "raw": `{"body":"?"}`} {
		_, err := u.Call(t.Context(), tools.Call{Tool: tool, Arguments: json.RawMessage(args)})
		if refused, ok := errors.AsType[*tools.RPCError](err); !ok || !strings.Contains(refused.Message, "must be base64") {
			t.Errorf("%s: %v", tool, err)
		}
	}
}
