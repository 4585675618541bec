package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	issuerKey     = "bench"
	peopleClient  = "bench-console"
	tokenLifetime = 12 * time.Hour
)

// issuer is the least of an OpenID Connect provider: discovery, one key, and the
// tokens that it signs here.
type issuer struct {
	url    string
	key    *ecdsa.PrivateKey
	web    *http.Server
	served chan error
}

func startIssuer(ctx context.Context) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &issuer{url: "http://" + listener.Addr().String(), key: key, served: make(chan error, 1)}
	discovery, err := json.Marshal(map[string]any{
		"issuer": i.url, "jwks_uri": i.url + "/keys", "authorization_endpoint": i.url + "/authorize", "token_endpoint": i.url + "/token",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
	})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	public := jose.JSONWebKey{Key: key.Public(), KeyID: issuerKey, Algorithm: string(jose.ES256), Use: "sig"}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("GET /.well-known/openid-configuration", document(discovery))
	mux.Handle("GET /keys", document(keys))
	i.web = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { i.served <- i.web.Serve(listener) }()
	return i, nil
}

func document(text []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // whoever asked has gone
	})
}

// token is an access token for alice, in whose name copilot acts.
func (i *issuer) token(audience string) (string, error) {
	return i.sign(audience, map[string]any{
		"sub": "alice", "roles": []string{"support"}, "client_id": "copilot", "azp": "copilot", "act": map[string]string{"sub": "copilot"},
	})
}

// person is an access token of somebody who reads everything.
func (i *issuer) person(audience, name string) (string, error) {
	return i.sign(audience, map[string]any{"sub": name, "roles": []string{"auditor"}, "client_id": peopleClient, "azp": peopleClient})
}

func (i *issuer) sign(audience string, who map[string]any) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: i.key, KeyID: issuerKey}},
		(&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	maps.Copy(who, map[string]any{
		"iss": i.url, "aud": audience, "jti": "bench", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(tokenLifetime).Unix(),
	})
	claims, err := json.Marshal(who)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (i *issuer) stop() error {
	err := i.web.Close()
	if served := <-i.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
