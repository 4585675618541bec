package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/deedbroker/deed/broker/oauth"
	"github.com/deedbroker/deed/tools/credentials"
	"github.com/deedbroker/deed/tools/web"
)

// client is a broker that has started just now.
func (w *world) client(t *testing.T, dir string, change func(*oauth.Config)) *oauth.Client {
	t.Helper()
	c := oauth.Config{Upstream: "tracker", URL: w.url(), Dir: dir}
	if change != nil {
		change(&c)
	}
	made, err := oauth.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// use sends a request to the upstream, with a caller's token in its context.
func use(t *testing.T, c *oauth.Client, to string) (status int, shown credentials.Reference, err error) {
	t.Helper()
	ctx := credentials.With(t.Context(), credentials.Subject{Token: "the-callers-own"}, func(r credentials.Reference) { shown = r })
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: c.Transport(http.DefaultTransport)}).Do(r)
	if err != nil {
		return 0, shown, web.Plain(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, shown, errors.Join(err, response.Body.Close())
}

// works fails the test unless the upstream answers.
func (w *world) works(t *testing.T, c *oauth.Client) credentials.Reference {
	t.Helper()
	status, shown, err := use(t, c, w.url())
	if err != nil || status != http.StatusOK {
		t.Fatalf("HTTP %d, %v", status, err)
	}
	return shown
}

// needs fails the test unless a person is told to consent.
func needs(t *testing.T, c *oauth.Client, w *world) {
	t.Helper()
	_ = asksFor(t, c, w)
}

// asksFor is what a person is told to consent to.
func asksFor(t *testing.T, c *oauth.Client, w *world) *credentials.ConsentError {
	t.Helper()
	_, _, err := use(t, c, w.url())
	consent, ok := errors.AsType[*credentials.ConsentError](err)
	if !ok {
		t.Fatalf("no consent is needed: %v", err)
	}
	if !strings.Contains(err.Error(), "deed upstreams login tracker") {
		t.Errorf("it says not what to do: %v", err)
	}
	return consent
}

func login(t *testing.T, c *oauth.Client) (*oauth.Consented, error) {
	t.Helper()
	return c.Login(t.Context(), oauth.LoginOptions{Show: func(ctx context.Context, address string) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		response, err := new(http.Client).Do(r)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}})
}

func mustLogin(t *testing.T, c *oauth.Client) *oauth.Consented {
	t.Helper()
	now, err := login(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// age makes what is kept old.
func age(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "tracker.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`"(expires|since)":"[^"]+"`).ReplaceAll(text, []byte(`"$1":"2026-01-01T00:00:00Z"`))
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func TestAPersonConsentsOnce(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	c := w.client(t, dir, nil)
	needs(t, c, w)
	now := mustLogin(t, c)
	if !now.Renews || !slices.Equal(now.Scopes, []string{"read", "offline_access"}) || now.ClientID != "registered" {
		t.Errorf("consented to %+v", now)
	}
	shown := w.works(t, c)
	if want := "oauth://registered?issuer="; !strings.HasPrefix(shown.Source, want) || shown.Expires.IsZero() {
		t.Errorf("on record is %+v", shown)
	}
	w.works(t, w.client(t, dir, nil)) // after a restart
	info, err := os.Stat(filepath.Join(dir, "tracker.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kept with %v, %v", info, err)
	}
	mustLogin(t, c)
	registrations := 0
	for _, path := range w.asked() {
		if path == "/register" {
			registrations++
		}
	}
	if registrations != 1 {
		t.Errorf("registered %d times", registrations)
	}
	if err := c.Logout(t.Context()); err != nil {
		t.Fatal(err)
	}
	needs(t, c, w)
}

// Whoever asks while a token has expired, it is renewed once; the refresh token that came is good after a
// restart, and the old one was shown once.
func TestARenewalIsShared(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	c := w.client(t, dir, nil)
	needs(t, c, w)
	mustLogin(t, c)
	for range 3 {
		age(t, dir)
		before, _ := w.granted("refresh_token")
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() { w.works(t, c) })
		}
		group.Wait()
		if n, form := w.granted("refresh_token"); n != before+1 || form.Get("resource") != w.url() {
			t.Errorf("renewed %d times, for %q", n-before, form.Get("resource"))
		}
		c = w.client(t, dir, nil) // killed, and started again
	}
	// A token that the upstream does not take is renewed as well.
	age(t, dir)
	w.works(t, c)
	age(t, dir)
	text, err := os.ReadFile(filepath.Join(dir, "tracker.json"))
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`"expires":"[^"]+"`).ReplaceAll(text, []byte(`"expires":"2099-01-01T00:00:00Z"`))
	if err := os.WriteFile(filepath.Join(dir, "tracker.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	w.with(func() { clear(w.valid) })
	w.works(t, c)
}

func TestAConsentEnds(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spoil func(*world)
		want  string
	}{
		"withdrawn":                    {func(w *world) { w.ended = true }, "has ended the consent"},
		"another authorization server": {func(w *world) { w.resource["authorization_servers"] = []string{"http://127.0.0.1:1"} }, "another authorization server"},
		"not to be renewed":            {func(w *world) { w.norefresh = true }, "cannot be renewed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(t), t.TempDir()
			c := w.client(t, dir, nil)
			needs(t, c, w)
			w.with(func() { w.norefresh = name == "not to be renewed" })
			mustLogin(t, c)
			w.works(t, c)
			w.with(func() {
				row.spoil(w)
				clear(w.valid)
			})
			if name == "withdrawn" {
				age(t, dir)
			}
			if e := asksFor(t, c, w); !strings.Contains(e.Reason, row.want) || e.More {
				t.Errorf("it says %q", e.Reason)
			}
			asked := len(w.asked())
			if name == "withdrawn" {
				needs(t, w.client(t, dir, nil), w)
				if len(w.asked()) != asked {
					t.Error("it is tried again and again")
				}
			}
		})
	}
}

// More is asked for by a person, together with what was asked for before; what was granted and is
// refused nevertheless is nobody's to consent to.
func TestMoreScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t, t.TempDir(), nil)
	needs(t, c, w)
	mustLogin(t, c)
	w.with(func() { w.wants = []string{"write"} })
	if e := asksFor(t, c, w); !e.More {
		t.Error("other calls are refused as well")
	}
	if now := mustLogin(t, c); !slices.Equal(now.Scopes, []string{"read", "offline_access", "write"}) {
		t.Errorf("asked for %q", now.Scopes)
	}
	w.works(t, c)
	w.with(func() {
		for token := range w.valid {
			w.valid[token] = ""
		}
	})
	if _, _, err := use(t, c, w.url()); err == nil || strings.Contains(err.Error(), "login") || !strings.Contains(err.Error(), "has what it asks for") {
		t.Errorf("granted and refused: %v", err)
	}
}

func TestClientCredentialsNeedNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t, t.TempDir(), func(c *oauth.Config) {
		c.Credentials, c.ClientID, c.Secret = true, "deed", secret("hush")
	})
	shown := w.works(t, c)
	if !strings.HasPrefix(shown.Source, "oauth://deed?issuer=") {
		t.Errorf("on record is %+v", shown)
	}
	w.with(func() { w.wants = []string{"write"} })
	w.works(t, c)
	n, form := w.granted("client_credentials")
	if n != 2 || form.Get("scope") != "read write" || form.Get("client_secret") != "hush" || form.Get("resource") != w.url() {
		t.Errorf("asked %d times, at last with %v", n, form)
	}
	if _, err := login(t, c); !errors.Is(err, oauth.ErrNoConsent) {
		t.Errorf("a person logs in: %v", err)
	}
}

// secret is a source of one.
type secret string

func (s secret) Get(context.Context, credentials.Subject) (credentials.Credential, error) {
	return credentials.Credential{Value: credentials.Secret(s)}, nil
}

func (s secret) Refused(credentials.Subject, credentials.Credential) {}

// The broker's Client ID Metadata Document says that it is the client of its own URL, and comes back to loopback.
func TestTheBrokerDescribesItself(t *testing.T) {
	t.Parallel()
	const at = "https://deed.example/.well-known/oauth-client"
	text, err := json.Marshal(oauth.Describe(at))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"client_id":"` + at + `"`, `"redirect_uris":["http://127.0.0.1/callback","http://localhost/callback"]`, `"token_endpoint_auth_method":"none"`,
		`"grant_types":["authorization_code","refresh_token"]`, `"application_type":"native"`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s has no %s", text, part)
		}
	}
	w := newWorld(t)
	w.with(func() { w.server["client_id_metadata_document_supported"] = true })
	if now := mustLogin(t, w.client(t, t.TempDir(), func(c *oauth.Config) { c.Document = at })); now.ClientID != at || slices.Contains(w.asked(), "/register") {
		t.Errorf("it is the client %s", now.ClientID)
	}
}
