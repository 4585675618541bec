package pulsar_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// ask returns the status of a question that a superuser may ask, and another not.
func ask(t *testing.T, client *http.Client, admin, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+"/admin/v2/tenants", nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Close = true
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	return resp.StatusCode
}

func token(t *testing.T, k pulsar.Keys, role string, lifetime time.Duration) string {
	t.Helper()
	token, err := k.Token(role, lifetime)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestPulsarAuthenticatesAndAuthorizes(t *testing.T) {
	t.Parallel()
	p := need.Pulsar(t)
	for name, tt := range map[string]struct {
		token string
		want  int
	}{
		"superuser":   {token(t, p.Keys, pulsar.Superuser, time.Minute), http.StatusOK},
		"another":     {token(t, p.Keys, "auditor", time.Minute), http.StatusUnauthorized},
		"expired":     {token(t, p.Keys, pulsar.Superuser, -time.Minute), http.StatusUnauthorized},
		"nobody":      {"", http.StatusUnauthorized},
		"not a token": {"x.y.z", http.StatusUnauthorized},
	} {
		if got := ask(t, new(http.Client), p.Admin, tt.token); got != tt.want {
			t.Errorf("%s: status %d, want %d", name, got, tt.want)
		}
	}
}

func TestOwnPulsarTakesCertificatesAndSurvivesKill(t *testing.T) {
	t.Parallel()
	p := need.OwnPulsar(t, map[string]string{"brokerDeduplicationEnabled": "true"})
	before := p.URL()
	if err := p.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.URL() != before {
		t.Errorf("it moved from %s to %s", before, p.URL())
	}
	ca, err := os.ReadFile(p.Keys.Path(pulsar.CA))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("no certificate of the authority")
	}
	for role, want := range map[string]int{pulsar.Superuser: http.StatusOK, "auditor": http.StatusUnauthorized} {
		cert, key, err := p.Keys.Certificate(role)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
		if got := ask(t, client, p.AdminTLS(), ""); got != want {
			t.Errorf("certificate of %s: status %d, want %d", role, got, want)
		}
	}
}
