package credentials_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deedbroker/deed/tools/credentials"
)

const planted = "planted-secret-4711"

func get(t *testing.T, s credentials.Source, who credentials.Subject) credentials.Credential {
	t.Helper()
	c, err := s.Get(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// jwt is a token that says when it ends.
func jwt(expires time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"exp":%d}`, expires.Unix())) + ".c2ln"
}

func TestASecretPrintsAsNothing(t *testing.T) {
	t.Parallel()
	c := credentials.Credential{Value: planted, Reference: credentials.Reference{Source: "env://X"}}
	text, err := json.Marshal(c) //nolint:musttag // of what nobody should marshal, to see what it shows
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %s %q", c, c, c.Value, c.Value), string(text), c.Value.LogValue().String()} {
		if strings.Contains(shown, planted) {
			t.Errorf("it shows %s", shown)
		}
	}
}

func TestAFileIsReadAgainWhenItHasChanged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "one\n", 0o600)
	s := credentials.File(path)
	first := get(t, s, credentials.Subject{})
	if first.Value.Reveal() != "one" || first.Source != "file://"+path || first.Version == "" {
		t.Fatalf("it is %+v", first)
	}
	write(t, path, "two", 0o600)
	waitUntil(t, func() bool { return get(t, s, credentials.Subject{}).Value.Reveal() == "two" })
	for name, spoil := range map[string]func(){
		"others can read it": func() { write(t, path, planted, 0o644) },
		"it is empty":        func() { write(t, path, "\n", 0o600) },
		"it has ended":       func() { write(t, path, jwt(time.Now().Add(-time.Hour)), 0o600) },
		"it is gone":         func() { _ = os.Remove(path) },
	} {
		spoil()
		_, err := credentials.File(path).Get(t.Context(), credentials.Subject{})
		if _, ok := errors.AsType[*credentials.Error](err); !ok || strings.Contains(err.Error(), planted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// waitUntil tries for a while. Files are looked at once a second.
func waitUntil(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it did not come")
		}
	}
}

func TestAProjectedTokenEndsWhenItSays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	end := time.Now().Add(time.Hour)
	write(t, path, jwt(end), 0o640)
	if c := get(t, credentials.Projection(path), credentials.Subject{}); c.Expires.Unix() != end.Unix() {
		t.Errorf("it ends at %s", c.Expires)
	}
}

// issuer is a token endpoint.
type issuer struct {
	*httptest.Server
	asked atomic.Int64
	life  atomic.Int64 // seconds
	same  atomic.Bool  // exchanges give back what they got
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.life.Store(3600)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := i.asked.Add(1)
		id, secret, _ := r.BasicAuth()
		if id != "deed" || secret != planted {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client","error_description":"`+secret+`"}`)
			return
		}
		token := fmt.Sprintf("%s-%s-%s-%d", r.PostFormValue("grant_type"), r.PostFormValue("audience"), r.PostFormValue("subject_token"), n)
		if i.same.Load() {
			token = r.PostFormValue("subject_token")
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": i.life.Load()})
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) client(t *testing.T, secret string) credentials.ClientConfig {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	write(t, path, secret, 0o600)
	return credentials.ClientConfig{
		Endpoint: func(context.Context) (string, error) { return i.URL, nil },
		ID:       "deed", Secret: credentials.File(path), Audience: "payments", Client: i.Client(),
	}
}

func TestClientCredentialsAreKeptUntilShortlyBeforeTheyEnd(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, err := credentials.ClientCredentials(i.client(t, planted))
	if err != nil {
		t.Fatal(err)
	}
	first := get(t, s, credentials.Subject{})
	if again := get(t, s, credentials.Subject{}); again.Value != first.Value || i.asked.Load() != 1 {
		t.Errorf("asked %d times", i.asked.Load())
	}
	if first.Source != "client-credentials://deed?audience=payments" || first.Expires.IsZero() {
		t.Errorf("it is said to be %+v", first.Reference)
	}
	i.life.Store(1)
	short, err := credentials.ClientCredentials(i.client(t, planted))
	if err != nil {
		t.Fatal(err)
	}
	one := get(t, short, credentials.Subject{})
	waitUntil(t, func() bool { return get(t, short, credentials.Subject{}).Value != one.Value })
}

func TestAnAuthorizationServersRefusalNamesNoSecret(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, err := credentials.ClientCredentials(i.client(t, "wrong-"+planted))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Get(t.Context(), credentials.Subject{}); err == nil || strings.Contains(err.Error(), planted) || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("the error is %v", err)
	}
}

func TestEachCallerHasATokenOfTheirOwn(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, err := credentials.Exchange(i.client(t, planted), false)
	if err != nil {
		t.Fatal(err)
	}
	alice, bob := credentials.Subject{Token: "alice-token"}, credentials.Subject{Token: "bob-token"}
	a, b := get(t, s, alice), get(t, s, bob)
	if !strings.Contains(a.Value.Reveal(), "alice-token") || !strings.Contains(b.Value.Reveal(), "bob-token") || get(t, s, alice).Value != a.Value {
		t.Error("callers have each other's tokens, or a new one each time")
	}
	if own := get(t, s, credentials.Subject{}); !strings.HasPrefix(own.Value.Reveal(), "client_credentials") {
		t.Error("the broker itself has somebody's token")
	}
	if _, err := s.Get(t.Context(), credentials.Subject{Gone: true}); !errors.Is(err, credentials.ErrNoCaller) {
		t.Errorf("a caller who is gone: %v", err)
	}
	lenient, err := credentials.Exchange(i.client(t, planted), true)
	if err != nil {
		t.Fatal(err)
	}
	get(t, lenient, credentials.Subject{Gone: true})
}

// TestTheCallersTokenNeverTravels: an issuer that gives it back does not make the broker
// a confused deputy.
func TestTheCallersTokenNeverTravels(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.same.Store(true)
	s, err := credentials.Exchange(i.client(t, planted), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), credentials.Subject{Token: planted}); err == nil || strings.Contains(err.Error(), planted) {
		t.Errorf("it is %v", err)
	}
}

func TestARefusedCredentialIsReplacedOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "old", 0o600)
	source := credentials.File(path)
	get(t, source, credentials.Subject{})
	var shown []string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		shown = append(shown, r.Header.Get("X-Key")+" "+string(body))
		if r.Header.Get("X-Key") != "new" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer upstream.Close()
	client := &http.Client{Transport: &credentials.Transport{Base: http.DefaultTransport, Source: source, Header: "X-Key"}}
	var used credentials.Reference
	send := func() int {
		ctx := credentials.With(t.Context(), credentials.Subject{Token: "caller"}, func(r credentials.Reference) { used = r })
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, upstream.URL, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	if send() != http.StatusUnauthorized || len(shown) != 1 {
		t.Errorf("shown were %q", shown)
	}
	write(t, path, "new", 0o600)
	waitUntil(t, func() bool { shown = nil; return send() == http.StatusOK })
	if last := shown[len(shown)-1]; last != "new body" || used.Source != "file://"+path {
		t.Errorf("shown were %q, by %+v", shown, used)
	}
}
