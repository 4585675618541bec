package login_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/deedbroker/deed/agents/login"
)

// pemOf is a private key as it is in a file.
func pemOf(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func TestAClientProvesItselfAsItIsRegistered(t *testing.T) {
	t.Parallel()
	var form url.Values
	var user, password string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.PostForm
		user, password, _ = r.BasicAuth()
		_, _ = fmt.Fprint(w, goodAnswer)
	}))
	t.Cleanup(server.Close)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := login.ParseKey(pemOf(t, private))
	if err != nil {
		t.Fatal(err)
	}
	c := login.Client{Provider: &login.Provider{Issuer: "https://idp.example", TokenEndpoint: server.URL}, ID: "a b"}
	for method, right := range map[login.Method]func() bool{
		login.MethodNone: func() bool { return form.Get("client_id") == "a b" && user == "" && form.Get("client_secret") == "" },
		login.MethodPost: func() bool { return form.Get("client_id") == "a b" && user == "" && form.Get("client_secret") == "s:1" },
		login.MethodBasic: func() bool {
			return user == "a+b" && password == "s%3A1" && form.Get("client_id") == "" && form.Get("client_secret") == ""
		},
		login.MethodKey: func() bool {
			return form.Get("client_id") == "a b" && user == "" && form.Get("client_secret") == "" && signedBy(t, form, private)
		},
	} {
		c.Method, c.Secret, c.Key = method, "s:1", key
		if _, err := c.Credentials(t.Context(), login.Target{}); err != nil || !right() {
			t.Errorf("%s: %v, %s with %v", method, err, user, form)
		}
	}
	c.Method = "client_secret_jwt"
	if _, err := c.Credentials(t.Context(), login.Target{}); err == nil {
		t.Error("a method that is none")
	}
	if said := fmt.Sprintf("%v %+v %#v", key, key, key); said != "[secret] [secret] [secret]" {
		t.Errorf("the key is printed: %s", said)
	}
}

// signedBy reports whether a form has an assertion of the client, for its provider, that soon expires.
func signedBy(t *testing.T, form url.Values, private *ecdsa.PrivateKey) bool {
	t.Helper()
	signed, err := jwt.ParseSigned(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var claims jwt.Claims
	if err := signed.Claims(private.Public(), &claims); err != nil {
		t.Fatal(err)
	}
	return form.Get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" && claims.ID != "" &&
		claims.Issuer == "a b" && claims.Subject == "a b" && claims.Audience.Contains("https://idp.example") && len(claims.Audience) == 1 &&
		claims.Expiry.Time().Sub(claims.IssuedAt.Time()) <= time.Minute
}

func TestKeys(t *testing.T) {
	t.Parallel()
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})
	for want, text := range map[string][]byte{"EdDSA": pemOf(t, edwards), "RS256": old, "ES384": pemOf(t, curve)} {
		if key, err := login.ParseKey(text); err != nil || key.Algorithm() != want {
			t.Errorf("%s: %v, %v", want, key, err)
		}
	}
	for _, text := range []string{"", "s3cr3t", "-----BEGIN PRIVATE KEY-----\nczNjcjN0\n-----END PRIVATE KEY-----\n"} {
		if _, err := login.ParseKey([]byte(text)); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
