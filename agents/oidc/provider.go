package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/deedbroker/deed/agents/reach"
)

// rediscover is how long a provider's word is taken for where its endpoints are.
const rediscover = time.Hour

// provider asks an issuer for its keys. Only the run of its keySource uses it, but for
// the address that introspection reads.
type provider struct {
	issuer  string
	peer    *reach.Peer
	timeout time.Duration

	introspection atomic.Pointer[string] // where the issuer says that it is

	keysURL    string
	discovered time.Time
}

func (p *provider) fetch(ctx context.Context) (map[string]*key, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if err := p.discover(ctx); err != nil && p.keysURL == "" {
		return nil, err
	}
	body, err := p.get(ctx, p.keysURL)
	if err != nil {
		p.discovered = time.Time{} // they may have moved
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	keys, err := parseKeys(body)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	return keys, nil
}

// discover finds where the keys are (OpenID Connect Discovery section 4). What it
// found before stays if it fails.
func (p *provider) discover(ctx context.Context) error {
	if time.Since(p.discovered) < rediscover {
		return nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.peer.Client()), p.issuer)
	if err != nil {
		return fmt.Errorf("discover issuer: %w", brief(err))
	}
	var metadata struct {
		KeysURL       string `json:"jwks_uri"`
		Introspection string `json:"introspection_endpoint"`
	}
	if err := found.Claims(&metadata); err != nil {
		return fmt.Errorf("discover issuer: %w", brief(err))
	}
	if err := p.peer.Check(metadata.KeysURL); err != nil {
		return fmt.Errorf("discover issuer: jwks_uri: %w", err)
	}
	if metadata.Introspection != "" && p.peer.Check(metadata.Introspection) == nil {
		p.introspection.Store(&metadata.Introspection)
	}
	p.keysURL, p.discovered = metadata.KeysURL, time.Now()
	return nil
}

func (p *provider) get(ctx context.Context, url string) (body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, brief(err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	request.Header.Set("Cache-Control", "no-cache")
	response, err := p.peer.Client().Do(request)
	if err != nil {
		return nil, brief(err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the provider answered %d", response.StatusCode)
	}
	if body, err = io.ReadAll(response.Body); err != nil {
		return nil, brief(err)
	}
	return body, nil
}

// brief is an error fit for a log: go-oidc's may hold the whole answer of a provider.
func brief(err error) error {
	const limit = 200
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, err.Error())
	if runes := []rune(text); len(runes) > limit {
		text = string(runes[:limit]) + "…"
	}
	return errors.New(text)
}
