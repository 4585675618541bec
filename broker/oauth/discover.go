package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/deedbroker/deed/agents/reach"
)

const (
	resourceName = "oauth-protected-resource"
	serverName   = "oauth-authorization-server"
	openIDName   = "openid-configuration"
)

// target is what an upstream and its authorization server say of how to get a token.
type target struct {
	resource string   // for which tokens are asked for
	scopes   []string // that the upstream knows
	issuer   string
	server   oauthex.AuthServerMeta
}

// discover asks the upstream for its authorization server, and that for its endpoints. The
// metadata are where the challenge says, if it says so. Of several authorization servers the
// one that is known already is taken, else the first.
func (c *Client) discover(ctx context.Context, metadata, known string) (*target, error) {
	resource, err := c.resource(ctx, metadata)
	if err != nil {
		return nil, fmt.Errorf("find the authorization server: %w", err)
	}
	t := &target{resource: resource.Resource, scopes: bounded(resource.ScopesSupported)}
	if t.issuer, err = c.choose(resource.AuthorizationServers, known); err != nil {
		return nil, fmt.Errorf("find the authorization server: %w", err)
	}
	server, err := c.server(ctx, t.issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the authorization server for its endpoints: %w", err)
	}
	t.server = *server
	return t, nil
}

// resource reads the metadata of the upstream (RFC 9728). A server of revision 2025-03-26
// has none: its authorization server is at its own origin.
func (c *Client) resource(ctx context.Context, metadata string) (*oauthex.ProtectedResourceMetadata, error) {
	atPath, atRoot := wellKnown(c.url, resourceName), wellKnown(c.origin(), resourceName)
	places := []string{atPath, atRoot}
	if metadata != "" {
		places = append([]string{metadata}, places...)
	}
	found := &oauthex.ProtectedResourceMetadata{}
	err := first(slices.Compact(places), func(at string) error {
		if err := endpoint("address of the upstream's metadata", at); err != nil {
			return err
		}
		if err := c.fetch(ctx, at, found); err != nil {
			return err
		}
		return c.ours(found, at == atRoot)
	})
	if errors.Is(err, errAbsent) {
		return &oauthex.ProtectedResourceMetadata{Resource: c.cfg.URL, AuthorizationServers: []string{c.origin().String()}}, nil
	}
	return found, err
}

// ours checks that metadata are of the upstream (RFC 9728 section 3.3): of its URL, or of its
// origin if they are at the root of that.
func (c *Client) ours(m *oauthex.ProtectedResourceMetadata, atRoot bool) error {
	switch {
	case m.Resource == c.cfg.URL, atRoot && strings.TrimSuffix(m.Resource, "/") == c.origin().String():
	default:
		return &worded{errors.New("its metadata are of another resource; write the upstream's url as they have it, if they are right"), m.Resource}
	}
	if len(m.AuthorizationServers) == 0 {
		return errors.New("its metadata name no authorization server")
	}
	return nil
}

// choose is the authorization server to use. One that the operator has named has to be among
// those that the upstream trusts.
func (c *Client) choose(listed []string, known string) (string, error) {
	listed = listed[:min(len(listed), maxServers)]
	issuer := listed[0]
	if slices.Contains(listed, known) {
		issuer = known
	}
	if c.cfg.Issuer != "" {
		if !slices.ContainsFunc(listed, func(l string) bool { return sameIssuer(l, c.cfg.Issuer) }) {
			return "", errors.New("the upstream does not name the issuer that is configured for it")
		}
		issuer = c.cfg.Issuer
	}
	if err := reach.CheckURL(issuer); err != nil {
		return "", fmt.Errorf("the issuer that the upstream names cannot be used: %w", err)
	}
	return issuer, nil
}

// sameIssuer compares what the operator has written with what an upstream has, where many add a slash to an origin.
func sameIssuer(a, b string) bool {
	trim := func(s string) string {
		if u, err := url.Parse(s); err == nil && u.Path == "/" {
			return strings.TrimSuffix(s, "/")
		}
		return s
	}
	return trim(a) == trim(b)
}

// server reads the metadata of an authorization server, in the order of the specification.
func (c *Client) server(ctx context.Context, issuer string) (*oauthex.AuthServerMeta, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, errors.New("the issuer is no URL")
	}
	u.Path = strings.TrimRight(u.Path, "/") // RFC 8414 section 3.1
	places := []string{wellKnown(u, serverName), wellKnown(u, openIDName)}
	if u.Path != "" {
		places = append(places, u.JoinPath(".well-known", openIDName).String())
	}
	found := &oauthex.AuthServerMeta{}
	err = first(places, func(at string) error {
		if err := c.fetch(ctx, at, found); err != nil {
			return err
		}
		return usable(found, issuer)
	})
	if errors.Is(err, errAbsent) {
		return nil, errors.New("it publishes no metadata, without which PKCE cannot be relied on")
	}
	return found, err
}

// usable checks that metadata are of the issuer that was asked, and lead nowhere odd.
func usable(m *oauthex.AuthServerMeta, issuer string) error {
	if m.Issuer != issuer {
		return &worded{errors.New("the metadata are of another issuer"), m.Issuer}
	}
	if err := endpoint("token endpoint", m.TokenEndpoint); err != nil {
		return err
	}
	for what, at := range map[string]string{"authorization endpoint": m.AuthorizationEndpoint, "registration endpoint": m.RegistrationEndpoint} {
		if at == "" {
			continue
		}
		if err := endpoint(what, at); err != nil {
			return err
		}
	}
	return nil
}

// signsIn checks that a person can sign in at the server, safely.
func signsIn(m *oauthex.AuthServerMeta) error {
	switch {
	case m.AuthorizationEndpoint == "":
		return errors.New("the authorization server has no authorization endpoint")
	case !slices.Contains(m.CodeChallengeMethodsSupported, "S256"):
		return errors.New("the authorization server does not advertise PKCE with S256, without which a code could be stolen")
	default:
		return nil
	}
}
