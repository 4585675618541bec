package agents_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents"
)

const canonical = "https://deed.example"

func request(path string, authorization, proof []string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://10.0.0.7:8642"+path, nil)
	if authorization != nil {
		r.Header["Authorization"] = authorization
	}
	if proof != nil {
		r.Header["Dpop"] = proof
	}
	return r
}

func TestFromRequest(t *testing.T) {
	t.Parallel()
	bearer := func(token string) agents.Credential {
		return agents.Credential{Token: token, Method: "POST", URL: canonical + "/mcp"}
	}
	bound := bearer("abc")
	bound.Scheme, bound.Proof = agents.DPoP, "proof"
	var none agents.Credential
	tests := map[string]struct {
		path   string
		values []string
		proofs []string
		want   agents.Credential
		kind   agents.Kind // of the rejection
	}{
		"a token":                {"", []string{"Bearer a.b-c_~+/=="}, nil, bearer("a.b-c_~+/=="), ""},
		"any case":               {"", []string{"bearer abc"}, nil, bearer("abc"), ""},
		"a token with its proof": {"", []string{"DPoP abc"}, []string{"proof"}, bound, ""},
		"no header":              {"", nil, nil, none, agents.Missing},
		"an empty one":           {"", []string{""}, nil, none, agents.Missing},
		"another scheme":         {"", []string{"Basic abc"}, nil, none, agents.Missing},
		"no token":               {"", []string{"Bearer"}, nil, none, agents.Malformed},
		"two spaces":             {"", []string{"Bearer  abc"}, nil, none, agents.Malformed},
		"two tokens":             {"", []string{"Bearer a b"}, nil, none, agents.Malformed},
		"two headers":            {"", []string{"Bearer a", "Bearer b"}, nil, none, agents.Malformed},
		"only padding":           {"", []string{"Bearer =="}, nil, none, agents.Malformed},
		"padding within":         {"", []string{"Bearer a=b"}, nil, none, agents.Malformed},
		"beyond all bounds":      {"", []string{"Bearer " + strings.Repeat("a", 1<<20)}, nil, none, agents.Malformed},
		"two proofs":             {"", []string{"DPoP abc"}, []string{"a", "b"}, none, agents.Malformed},
		"an endless proof":       {"", []string{"DPoP abc"}, []string{strings.Repeat("a", 1<<20)}, none, agents.Malformed},
		"in the query":           {"?access_token=abc", nil, nil, none, agents.Malformed},
		"in both":                {"?x=1&access_token=abc", []string{"Bearer abc"}, nil, none, agents.Malformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, refused := agents.FromRequest(request("/mcp"+tt.path, tt.values, tt.proofs), canonical)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (refused == nil) != (tt.kind == "") {
				t.Fatalf("rejected as %v", refused)
			}
			if refused == nil {
				return
			}
			if refused.Kind != tt.kind || errors.Is(refused, agents.ErrHeader) != (tt.kind == agents.Malformed) {
				t.Errorf("rejected as %v", refused)
			}
			if strings.Contains(refused.Error(), "abc") {
				t.Errorf("the error quotes the token: %v", refused)
			}
		})
	}
}

func FuzzFromRequest(f *testing.F) {
	for _, seed := range []string{"", "Bearer", "Bearer x", "bearer a.b-c_~+/==", "Basic x", "DPoP x", "Bearer  x", "Bearer x y"} {
		f.Add(seed, "")
		f.Add(seed, "proof")
	}
	f.Fuzz(func(t *testing.T, value, proof string) {
		got, refused := agents.FromRequest(request("/mcp", []string{value}, []string{proof}), canonical)
		if (refused == nil) == (got.Token == "") || strings.ContainsAny(got.Token, " ,\"\r\n") {
			t.Fatalf("%q gave %q and %v", value, got.Token, refused)
		}
	})
}
