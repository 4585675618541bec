package need

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/cmd/provide"
	"github.com/deedbroker/deed/cmd/provide/keycloak"
)

// Realm is a realm of a running Keycloak that one test has for itself.
type Realm struct {
	Name   string
	Issuer string // its URL
	Admin  *keycloak.Admin
}

// exampleURL is the broker's in the realm that examples/keycloak has.
const exampleURL = "http://127.0.0.1:8642"

// KeycloakRealm imports the realm file at path into the Keycloak that tests share, under a
// name of its own and for the broker at url. It is gone when the test is over.
func KeycloakRealm(tb testing.TB, path, url string) *Realm {
	tb.Helper()
	admin := sharedKeycloak(tb)
	text, err := os.ReadFile(path) //nolint:gosec // the test's
	if err != nil {
		tb.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(exampleURL), []byte(url))
	var realm map[string]any
	if err := json.Unmarshal(text, &realm); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	name := "deed-" + strings.ToLower(rand.Text()[:10])
	realm["realm"] = name
	if text, err = json.Marshal(realm); err != nil {
		tb.Fatal(err)
	}
	if err := admin.Import(tb.Context(), text); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := admin.Delete(context.WithoutCancel(tb.Context()), name); err != nil {
			tb.Error(err)
		}
	})
	return &Realm{Name: name, Issuer: admin.URL + "/realms/" + name, Admin: admin}
}

// sharedKeycloak is the administrator of the Keycloak that tests share. The first test
// that asks starts it; the testbed stops it.
func sharedKeycloak(tb testing.TB) *keycloak.Admin {
	tb.Helper()
	if url := os.Getenv(KeycloakURL); url != "" {
		return keycloak.NewAdmin(url, Env(tb, KeycloakPassword))
	}
	home, dir := Env(tb, KeycloakHome), filepath.Join(servers(tb), "keycloak")
	java, _, err := (&provide.Cache{Dir: filepath.Dir(dir)}).Java(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	s, err := keycloak.NewServer(tb.Context(), java, home, dir)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return keycloak.NewAdmin(s.URL, s.Password)
}
