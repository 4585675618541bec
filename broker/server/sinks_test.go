package server_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/deedbroker/deed/agents/client"
)

// TestCallsGoToSinks: a call reaches the webhook that is configured, signed by a secret
// that is read from its file, and not one that has another domain.
func TestCallsGoToSinks(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte("a secret of 24 bytes ..."))
	if err := os.WriteFile(filepath.Join(rig.dir, "hook"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	signed, err := webhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	got, other := make(chan string, 8), make(chan string, 8)
	serve := func(to chan string) string {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err == nil {
				err = signed.Verify(body, r.Header)
			}
			if err != nil {
				t.Error(err)
			}
			to <- string(body)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	rig.log = fmt.Sprintf("sinks:\n  hook: { domains: [payments], webhook: { url: %[1]s, secret: 'file://%[3]s' } }\n  none: { domains: [deed], webhook: { url: %[2]s, secret: 'file://%[3]s' } }\n",
		serve(got), serve(other), filepath.Join(rig.dir, "hook"))
	r := rig.start(t)
	if _, err := r.copilot(t).Call(t.Context(), "payments.accounts", nil, client.CallOptions{}); err != nil {
		t.Fatal(err)
	}
	select {
	case body := <-got:
		if !strings.Contains(body, `"payments.accounts"`) || !strings.Contains(body, `"class_uid":6003`) {
			t.Errorf("it says %s", body)
		}
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	if _, body := r.get(t, "/readyz", ""); !strings.Contains(body, "sinks") && !strings.Contains(body, "ready") {
		t.Errorf("/readyz says %s", body)
	}
	r.stop(t)
	select {
	case body := <-other:
		t.Errorf("another domain's sink got %s", body)
	default:
	}
}
