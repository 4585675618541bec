package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	maxAnswer      = 1 << 20
	defaultTimeout = 30 * time.Second
)

// Provider is where an issuer's endpoints are.
type Provider struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	DeviceEndpoint        string `json:"device_authorization_endpoint"` // empty if there is none
	// NamesItself tells that authorization responses carry iss (RFC 9207).
	NamesItself bool `json:"authorization_response_iss_parameter_supported"`
}

// Discover asks an issuer for its endpoints (OpenID Connect Discovery section 4).
// The client may be nil. It fails unless the document is of exactly that issuer
// and every endpoint is https, or http on loopback.
func Discover(ctx context.Context, client *http.Client, issuer string) (*Provider, error) {
	p, err := discover(ctx, client, issuer)
	if err != nil {
		return nil, fmt.Errorf("discover issuer %s: %w", issuer, err)
	}
	return p, nil
}

func discover(ctx context.Context, client *http.Client, issuer string) (*Provider, error) {
	if err := checkURL(issuer); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", nil)
	if err != nil {
		return nil, err
	}
	status, body, err := do(client, request)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("the issuer answered %d", status)
	}
	var p Provider
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	if p.Issuer != issuer {
		return nil, errors.New("the metadata is of another issuer")
	}
	for name, endpoint := range map[string]string{"authorization": p.AuthorizationEndpoint, "token": p.TokenEndpoint} {
		if err := checkURL(endpoint); err != nil {
			return nil, fmt.Errorf("%s endpoint: %w", name, err)
		}
	}
	if p.DeviceEndpoint != "" {
		if err := checkURL(p.DeviceEndpoint); err != nil {
			return nil, fmt.Errorf("device authorization endpoint: %w", err)
		}
	}
	return &p, nil
}

func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("not a URL that can be used")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	if u.Scheme == "https" || u.Scheme == "http" && loopback {
		return nil
	}
	return errors.New("neither https nor http on loopback")
}

// do sends a request that may carry secrets: to where it is meant and nowhere else.
func do(client *http.Client, request *http.Request) (status int, body []byte, err error) {
	c := http.Client{Timeout: defaultTimeout}
	if client != nil {
		c = *client
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := c.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	body, err = io.ReadAll(http.MaxBytesReader(nil, response.Body, maxAnswer))
	return response.StatusCode, body, err
}
