package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/oauth"
)

// OAuthDir is the directory in a data directory where consents to the use of upstreams are.
const OAuthDir = "oauth"

// ErrNoOAuth is that an upstream is not configured for OAuth.
var ErrNoOAuth = errors.New("the upstream is not configured for OAuth by auth.oauth")

// UpstreamClient is the broker as an OAuth client of one of its upstreams, for whoever consents
// to its use. It works on the data directory, whether the broker runs or not.
func UpstreamClient(cfg *config.Config, name string, logger *slog.Logger) (*oauth.Client, error) {
	u, known := cfg.Upstreams[name]
	switch {
	case !known:
		return nil, fmt.Errorf("upstream %s: there is none of this name", name)
	case u.Auth == nil || u.Auth.OAuth == nil:
		return nil, fmt.Errorf("upstream %s: %w", name, ErrNoOAuth)
	}
	k, err := newKeepers(cfg)
	if err == nil {
		var client *oauth.Client
		if client, err = k.oauth(cfg, name, logger); err == nil {
			return client, nil
		}
	}
	return nil, fmt.Errorf("upstream %s: %w", name, err)
}

// oauth is the broker as a client of an upstream that asks for OAuth.
func (k *keepers) oauth(cfg *config.Config, name string, logger *slog.Logger) (*oauth.Client, error) {
	u := cfg.Upstreams[name]
	o := u.Auth.OAuth
	c := oauth.Config{
		Upstream: name, URL: u.URL, Issuer: o.Issuer, Credentials: o.Grant == config.GrantCredentials,
		ClientID: o.ClientID, Document: o.ClientMetadata, Scopes: o.Scopes, Dir: filepath.Join(cfg.Data, OAuthDir), Logger: logger,
	}
	var err error
	if !o.ClientSecret.IsZero() {
		if c.Secret, err = k.secret(o.ClientSecret); err != nil {
			return nil, fmt.Errorf("client_secret: %w", err)
		}
	}
	if !o.ClientKey.IsZero() {
		text, err := o.ClientKey.ResolveText()
		if err != nil {
			return nil, fmt.Errorf("client_key: %w", err)
		}
		if c.Key, err = login.ParseKey(text); err != nil {
			return nil, fmt.Errorf("client_key: %s: %w", o.ClientKey, err)
		}
	}
	return oauth.New(c)
}

// clientMetadata serves the Client ID Metadata Document of the broker.
func (s *Server) clientMetadata(w http.ResponseWriter, _ *http.Request) {
	text, err := json.Marshal(oauth.Describe(s.cfg.URL + config.ClientMetadataPath))
	if err != nil {
		http.Error(w, "it cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // whoever asked is gone
}

// describesItself reports whether some authorization server may ask for the document.
func (s *Server) describesItself() bool {
	for _, u := range s.cfg.Upstreams {
		if u.Auth != nil && u.Auth.OAuth != nil && u.Auth.OAuth.ClientMetadata == s.cfg.URL+config.ClientMetadataPath {
			return true
		}
	}
	return false
}
