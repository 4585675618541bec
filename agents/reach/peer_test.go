package reach_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/reach"
)

func TestAnIssuerSendsTheBrokerNowhereElse(t *testing.T) {
	t.Parallel()
	rows := []struct {
		issuer string
		hosts  []string
		url    string
		may    bool
	}{
		{"https://idp.example/realms/a", nil, "https://idp.example/realms/a/certs", true},
		{"https://idp.example", nil, "https://IDP.example:443/jwks", true},
		{"https://idp.example", nil, "https://idp.example:8443/jwks", false},
		{"https://idp.example", nil, "http://idp.example/jwks", false},
		{"https://idp.example", nil, "https://idp.example.evil.example/jwks", false},
		{"https://idp.example", nil, "https://evil.example/jwks", false},
		{"https://idp.example", nil, "https://idp.example@evil.example/jwks", false},
		{"https://idp.example", nil, "http://127.0.0.1/jwks", false},
		{"https://idp.example", nil, "http://169.254.169.254/latest/meta-data", false},
		{"https://idp.example", nil, "file:///etc/passwd", false},
		{"https://idp.example", nil, "", false},
		{"https://idp.example", []string{"keys.example"}, "https://Keys.example/jwks", true},
		{"https://idp.example", []string{"keys.example"}, "https://keys.example:8443/jwks", false},
		{"https://idp.example", []string{"keys.example:8443"}, "https://keys.example:8443/jwks", true},
		{"https://idp.example", []string{"keys.example"}, "http://keys.example/jwks", false},
		{"https://idp.example", []string{"127.0.0.1"}, "http://127.0.0.1/jwks", false},
		{"http://127.0.0.1:8180/realms/a", nil, "http://127.0.0.1:8180/realms/a/certs", true},
		{"http://127.0.0.1:8180/realms/a", nil, "http://127.0.0.1:6379/", false},
		{"http://127.0.0.1:8180/realms/a", nil, "https://idp.example/jwks", false},
	}
	for _, row := range rows {
		p, err := reach.New(row.issuer, row.hosts, time.Second, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Check(row.url); (err == nil) != row.may {
			t.Errorf("%s with %v to %s: %v", row.issuer, row.hosts, row.url, err)
		}
	}
}

// A host that is allowed by name is refused when its name leads inside.
func TestAHostThatIsAllowedMustBePublic(t *testing.T) {
	t.Parallel()
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	t.Cleanup(inside.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(inside.URL, "https://"), ":")
	for _, host := range []string{"127.0.0.1:" + port, "localhost:" + port, "[::ffff:127.0.0.1]:" + port, "169.254.169.254:80", "10.0.0.1:443", "[fd00::1]:443", "100.64.0.1:443", "0.0.0.0:" + port} {
		p, err := reach.New("https://idp.example", []string{host}, time.Second, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/jwks", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Client().Do(r); !errors.Is(err, reach.ErrElsewhere) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestTheIssuerItselfMayBeInside(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
			return
		}
		_, _ = w.Write(make([]byte, 2<<20))
	}))
	t.Cleanup(server.Close)
	p, err := reach.New(server.URL, nil, 10*time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{"/away": http.StatusFound, "/endless": http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := p.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if response.StatusCode != status || (err == nil) != (path == "/away") {
			t.Errorf("%s: %d, %v", path, response.StatusCode, err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"https://idp.example/jwks", "https://idp.example@evil.example/", "http://127.0.0.1", "https://idp.example:443\\@evil/", "//x", "https://[::1]/"} {
		f.Add(seed)
	}
	p, err := reach.New("https://idp.example", nil, time.Second, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if p.Check(raw) != nil {
			return
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, raw, nil)
		if err != nil || !strings.EqualFold(r.URL.Hostname(), "idp.example") || r.URL.Scheme != "https" {
			t.Errorf("%q may be fetched: %v", raw, err)
		}
	})
}
