package credentials_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/cmd/testbed/need"
	"github.com/deedbroker/deed/tools/credentials"
)

// bao is a real OpenBao server, in memory.
type bao struct {
	url, root string
	t         *testing.T
}

func startBao(t *testing.T) *bao {
	t.Helper()
	binary := need.Env(t, need.OpenBao)
	at := need.Address(t)
	b := &bao{url: "http://" + at, root: "root-" + planted, t: t}
	server := exec.CommandContext(t.Context(), binary, "server", "-dev", "-dev-no-store-token", "-dev-listen-address="+at, "-dev-root-token-id="+b.root)
	server.Env = append(os.Environ(), "HOME="+t.TempDir())
	var said bytes.Buffer
	server.Stdout, server.Stderr = &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill() // that is its end
		_ = server.Wait()         // killed
	})
	waitUntil(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/v1/sys/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
	return b
}

// api asks the server as its root.
func (b *bao) api(method, path, body string) map[string]any {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("X-Vault-Token", b.root)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		b.t.Fatalf("%s %s: HTTP %d: %s %v", method, path, response.StatusCode, text, err)
	}
	var answer map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			b.t.Fatal(err)
		}
	}
	return answer
}

// token makes a client token that may read what is at secret/data/crm.
func (b *bao) token() string {
	b.t.Helper()
	b.api(http.MethodPut, "sys/policies/acl/crm", `{"policy":"path \"secret/data/crm\" { capabilities = [\"read\"] }"}`)
	auth, _ := b.api(http.MethodPost, "auth/token/create", `{"policies":["crm"],"ttl":"1h"}`)["auth"].(map[string]any)
	return fmt.Sprint(auth["client_token"])
}

func TestSecretsOfARealVaultAreRotatedWithoutARestart(t *testing.T) {
	t.Parallel()
	b := startBao(t)
	b.api(http.MethodPost, "secret/data/crm", `{"data":{"key":"first-`+planted+`"}}`)
	tokenFile := filepath.Join(t.TempDir(), "token")
	write(t, tokenFile, b.token(), 0o600)
	vault, err := credentials.NewVault(credentials.VaultConfig{
		URL: b.url, Token: credentials.File(tokenFile), Refresh: 100 * time.Millisecond, Client: &http.Client{Timeout: 10 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := vault.Secret("secret/data/crm", "key")
	if c := get(t, s, credentials.Subject{}); c.Value.Reveal() != "first-"+planted || c.Version != "1" || c.Source != "vault://secret/data/crm#key" {
		t.Errorf("it is %+v, %q", c, c.Value.Reveal())
	}
	b.api(http.MethodPost, "secret/data/crm", `{"data":{"key":"second-`+planted+`"}}`)
	waitUntil(t, func() bool {
		c := get(t, s, credentials.Subject{})
		return c.Version == "2" && c.Value.Reveal() == "second-"+planted
	})

	// The client token is withdrawn, and another put in its place by whoever renews it.
	old, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	b.api(http.MethodPost, "auth/token/revoke", `{"token":"`+string(old)+`"}`)
	write(t, tokenFile, b.token(), 0o600)
	b.api(http.MethodPost, "secret/data/crm", `{"data":{"key":"third-`+planted+`"}}`)
	waitUntil(t, func() bool {
		c, err := s.Get(context.WithoutCancel(t.Context()), credentials.Subject{})
		return err == nil && c.Version == "3"
	})
	for name, missing := range map[string]credentials.Source{
		"no such field": vault.Secret("secret/data/crm", "other"), "no such path": vault.Secret("secret/data/other", "key"),
	} {
		if _, err := missing.Get(t.Context(), credentials.Subject{}); err == nil || strings.Contains(err.Error(), planted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
