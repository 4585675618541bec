package pulsar_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// load appends events for as long as it takes that something is done, and fails the
// test at the first one that fails.
func load(t *testing.T, tenant *pulsartest.Tenant, l *pulsar.Log, replica string, until func()) (appended int64) {
	t.Helper()
	var writers sync.WaitGroup
	var count atomic.Int64
	stop := make(chan struct{})
	for range 4 {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				if _, err := l.Append(t.Context(), of(tenant, replica, audittest.Intent(audittest.NewID(), `{}`))); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				count.Add(1)
			}
		})
	}
	until()
	close(stop)
	writers.Wait()
	return count.Load()
}

// provider gives tokens that Pulsar accepts for client credentials.
type provider struct {
	*httptest.Server
	given atomic.Int64
	down  atomic.Bool
}

func newProvider(t *testing.T, tenant *pulsartest.Tenant, lifetime time.Duration) *provider {
	t.Helper()
	p := &provider{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL, "token_endpoint": p.URL + "/token"})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if p.down.Load() || id != "deed-broker" || secret != "s3cret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("audience") != "pulsar" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		token, err := tenant.Keys.Token(pulsartest.Role, lifetime)
		if err != nil {
			t.Error(err)
		}
		p.given.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(lifetime.Seconds())})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// TestTokensOfAProviderAreRenewed: no append fails while tokens that live for seconds
// come and go, nor while the provider is away for a moment.
func TestTokensOfAProviderAreRenewed(t *testing.T) {
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{audittest.Domain}})
	p := newProvider(t, tenant, 8*time.Second)
	o := tenant.Options("a", t.TempDir())
	o.Auth = pulsar.Auth{OAuth2: &pulsar.OAuth2{
		Issuer: p.URL, ClientID: "deed-broker", Secret: func() (string, error) { return "s3cret", nil }, Audience: "pulsar",
	}}
	l := open(t, o)
	renewed := func(what string, times int64) {
		from := p.given.Load()
		eventually(t, what, func() error {
			if p.given.Load() < from+times {
				return errors.New("no new token was asked for")
			}
			return nil
		})
	}
	n := load(t, tenant, l, "a", func() {
		renewed("at first", 2)
		p.down.Store(true)
		pause(t, time.Second)
		p.down.Store(false)
		renewed("after the provider was away", 1)
	})
	t.Logf("%d events with %d tokens", n, p.given.Load())
	if got := len(all(t, l)); int64(got) != n {
		t.Errorf("%d records, %d were acknowledged", got, n)
	}
	wrong := tenant.Options("b", t.TempDir())
	wrong.Auth = pulsar.Auth{OAuth2: &pulsar.OAuth2{Issuer: p.URL, ClientID: "deed-broker", Secret: func() (string, error) { return "guess", nil }, Audience: "pulsar"}}
	if _, err := pulsar.Open(t.Context(), wrong); err == nil {
		t.Error("it was opened with a wrong secret")
	}
}

// TestTokenFileIsReadAgain: a token is replaced before it expires, as a secret that is
// mounted is, and no append fails.
func TestTokenFileIsReadAgain(t *testing.T) {
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{audittest.Domain}})
	o := tenant.Options("a", t.TempDir())
	o.Auth.TokenFile = tenant.Token(t, pulsartest.Role, 12*time.Second)
	l := open(t, o)
	n := load(t, tenant, l, "a", func() {
		for range 3 {
			pause(t, 5*time.Second)
			next := tenant.Token(t, pulsartest.Role, 12*time.Second)
			if err := os.Rename(next, o.Auth.TokenFile); err != nil {
				t.Error(err)
			}
		}
	})
	if got := len(all(t, l)); int64(got) != n {
		t.Errorf("%d records, %d were acknowledged", got, n)
	}
}

// TestCertificates: the broker authenticates itself by a certificate, over TLS to a
// server whose certificate it checks.
func TestCertificates(t *testing.T) {
	t.Parallel()
	p := need.OwnPulsar(t, nil)
	tenant := pulsartest.In(t, p.URL(), p.Admin(), p.Keys, pulsartest.Layout{Domains: []string{audittest.Domain}})
	cert, key, err := p.Keys.Certificate(pulsartest.Role)
	if err != nil {
		t.Fatal(err)
	}
	o := tenant.Options("a", t.TempDir())
	o.URL, o.Admin = p.URLTLS(), p.AdminTLS()
	o.Auth = pulsar.Auth{CertFile: cert, KeyFile: key, CAFile: filepath.Join(p.Keys.Dir, "ca.pem")}
	l := open(t, o)
	appendAll(t, l, of(tenant, "a", audittest.Intent(audittest.NewID(), `{}`)))
	if got := len(all(t, l)); got != 1 {
		t.Errorf("%d records", got)
	}
	o.Auth.CAFile, o.Replica, o.OpenWait = "", "b", 20*time.Second
	if _, err := pulsar.Open(t.Context(), o); err == nil {
		t.Error("it trusts a server that nobody vouches for")
	}
}
