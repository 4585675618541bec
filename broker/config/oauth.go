package config

import (
	"net/url"
	"slices"
	"strings"
)

// OAuth makes the broker a client of an MCP server that asks for OAuth, by what the server and its
// authorization server say of themselves. All of it can be left out: `oauth: {}`.
type OAuth struct {
	// Grant is how tokens are gotten: authorization_code, the default, to which a person consents
	// once, by `deed upstreams login`; or client_credentials.
	Grant string `yaml:"grant"`
	// Issuer is the authorization server to use; left out, the one that the server names.
	Issuer string `yaml:"issuer"`
	// ClientID is a client that was registered there beforehand, ClientSecret its secret and ClientKey
	// its private key in PEM, for private_key_jwt; left out, the broker registers itself.
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
	ClientKey    Secret `yaml:"client_key"`
	// ClientMetadata is the URL of a Client ID Metadata Document, which is the broker's client_id at
	// authorization servers that read such. At {url}/.well-known/oauth-client Deed serves one itself.
	ClientMetadata string `yaml:"client_metadata"`
	// Scopes are asked for instead of those that the server names, and offline_access.
	Scopes []string `yaml:"scopes"`
}

// The values of Grant.
const (
	GrantCode        = "authorization_code"
	GrantCredentials = "client_credentials"
)

// ClientMetadataPath is where Deed serves a Client ID Metadata Document of its own.
const ClientMetadataPath = "/.well-known/oauth-client"

func (v *validation) oauth(key string, o *OAuth) {
	if o == nil {
		return
	}
	if o.Grant != "" && o.Grant != GrantCode && o.Grant != GrantCredentials {
		v.fail(child(key, "grant"), "%q is neither %s nor %s", o.Grant, GrantCode, GrantCredentials)
	}
	if o.Issuer != "" {
		v.webURL(child(key, "issuer"), o.Issuer)
	}
	proofs := 0
	for name, s := range map[string]Secret{"client_secret": o.ClientSecret, "client_key": o.ClientKey} {
		if s.IsZero() {
			continue
		}
		proofs++
		v.vaulted(child(key, name), s, v.config.Vault)
		if o.ClientID == "" {
			v.fail(child(key, name), "means something only beside client_id")
		}
	}
	v.local(child(key, "client_key"), o.ClientKey)
	if proofs > 1 {
		v.fail(key, "has client_secret and client_key; keep one")
	}
	if o.Grant == GrantCredentials && (o.ClientID == "" || proofs == 0) {
		v.fail(key, "needs client_id, and client_secret or client_key: with client_credentials nobody else vouches for the broker")
	}
	v.clientMetadata(child(key, "client_metadata"), o)
	if slices.ContainsFunc(o.Scopes, func(s string) bool {
		return s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
	}) {
		v.fail(child(key, "scopes"), "has one that is none; write each by itself")
	}
}

func (v *validation) clientMetadata(key string, o *OAuth) {
	if o.ClientMetadata == "" {
		return
	}
	u, err := url.Parse(o.ClientMetadata)
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") == "" || u.Fragment != "" || u.User != nil:
		v.fail(key, "has to be an https URL with a path, where the authorization server can read the document")
	case o.ClientID != "" || o.Grant == GrantCredentials:
		v.fail(key, "means nothing beside client_id or client_credentials; remove it")
	}
}
