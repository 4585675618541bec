package demo

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Issuer is the provider. All of its state is in memory, and bounded.
type Issuer struct {
	config  Config
	url     *url.URL
	clients map[string]client
	signer  *signer
	codes   *expiring[*authorization]
	revoked *expiring[struct{}]
	mux     *http.ServeMux
}

// client is a registered OAuth client.
type client struct {
	secret       string // empty: public, a person's
	redirects    []string
	anyLoopback  bool // any port of a loopback redirect (RFC 8252 section 7.3)
	actsFor      []string
	isPeoplesOwn bool
}

const (
	maxCodes     = 1000
	maxRevoked   = 10_000
	codeLifetime = time.Minute
)

// New makes a provider with fresh keys and secrets.
func New(config Config) (*Issuer, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("configure demo issuer: %w", err)
	}
	u, err := parseURL(config.URL)
	if err != nil {
		return nil, fmt.Errorf("configure demo issuer: %w", err)
	}
	keys, err := newSigner(config.URL)
	if err != nil {
		return nil, fmt.Errorf("make demo keys: %w", err)
	}
	i := &Issuer{
		config: config, url: u, signer: keys, clients: make(map[string]client), mux: http.NewServeMux(),
		codes: newExpiring[*authorization](maxCodes), revoked: newExpiring[struct{}](maxRevoked),
	}
	i.clients[CLIClient] = client{isPeoplesOwn: true, redirects: []string{"http://127.0.0.1/callback", "http://[::1]/callback"}, anyLoopback: true}
	i.clients[ConsoleClient] = client{isPeoplesOwn: true, redirects: config.ConsoleRedirects}
	for _, a := range config.Agents {
		i.clients[a.ID] = client{secret: rand.Text(), actsFor: slices.Clone(a.ActsFor)}
	}
	i.route()
	return i, nil
}

// URL is the issuer, as in iss.
func (i *Issuer) URL() string { return i.config.URL }

// Secrets are what agents authenticate with until this issuer stops.
func (i *Issuer) Secrets() Secrets {
	s := Secrets{Issuer: i.config.URL, Clients: make(map[string]string)}
	for id, c := range i.clients {
		if c.secret != "" {
			s.Clients[id] = c.secret
		}
	}
	return s
}

func (i *Issuer) route() {
	path := i.url.Path
	for _, place := range []string{
		path + "/.well-known/openid-configuration", path + "/.well-known/oauth-authorization-server",
		"/.well-known/openid-configuration" + path, "/.well-known/oauth-authorization-server" + path, // RFC 8414 section 3
	} {
		i.mux.HandleFunc("GET "+place, i.serveMetadata)
	}
	i.mux.HandleFunc("GET "+path+"/jwks", i.serveKeys)
	i.mux.HandleFunc("GET "+path+"/authorize", i.serveAuthorize)
	i.mux.HandleFunc("POST "+path+"/token", i.serveToken)
	i.mux.HandleFunc("POST "+path+"/introspect", i.serveIntrospect)
	i.mux.HandleFunc("POST "+path+"/revoke", i.serveRevoke)
}

func (i *Issuer) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	at := i.config.URL
	reply(w, http.StatusOK, map[string]any{
		"issuer": at, "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/token", "jwks_uri": at + "/jwks",
		"introspection_endpoint": at + "/introspect", "revocation_endpoint": at + "/revoke",
		"response_types_supported": []string{"code"}, "response_modes_supported": []string{"query"},
		"grant_types_supported": []string{grantCode, grantCredentials, grantExchange}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(algorithm)}, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post", "none"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (i *Issuer) serveKeys(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, i.signer.publicKeys())
}
