package agents_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/deedbroker/deed/agents"
)

func TestBearer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		values []string
		token  string
		kind   agents.Kind // of the rejection
	}{
		"a token":           {[]string{"Bearer a.b-c_~+/=="}, "a.b-c_~+/==", ""},
		"any case":          {[]string{"bearer abc"}, "abc", ""},
		"no header":         {nil, "", agents.Missing},
		"an empty one":      {[]string{""}, "", agents.Missing},
		"another scheme":    {[]string{"Basic abc"}, "", agents.Missing},
		"no token":          {[]string{"Bearer"}, "", agents.Malformed},
		"two spaces":        {[]string{"Bearer  abc"}, "", agents.Malformed},
		"two tokens":        {[]string{"Bearer a b"}, "", agents.Malformed},
		"two headers":       {[]string{"Bearer a", "Bearer b"}, "", agents.Malformed},
		"only padding":      {[]string{"Bearer =="}, "", agents.Malformed},
		"padding within":    {[]string{"Bearer a=b"}, "", agents.Malformed},
		"beyond all bounds": {[]string{"Bearer " + strings.Repeat("a", 1<<20)}, "", agents.Malformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token, refused := agents.Bearer(http.Header{"Authorization": tt.values})
			if token != tt.token || (refused == nil) != (tt.kind == "") {
				t.Fatalf("got %q, %v", token, refused)
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

func FuzzBearer(f *testing.F) {
	for _, seed := range []string{"", "Bearer", "Bearer x", "bearer a.b-c_~+/==", "Basic x", "Bearer  x", "Bearer x y"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, refused := agents.Bearer(http.Header{"Authorization": {value}})
		if (refused == nil) == (token == "") || strings.ContainsAny(token, " ,\"\r\n") {
			t.Fatalf("%q gave %q and %v", value, token, refused)
		}
	})
}
