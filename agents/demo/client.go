package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/deedbroker/deed/agents/login"
)

// Client gets tokens from a demo issuer by its ordinary grants, as anybody and as
// any agent.
type Client struct {
	provider *login.Provider
	secrets  Secrets
	http     *http.Client
}

// TokenRequest says for whom a token is.
type TokenRequest struct {
	User string // empty: the agent acts on its own
	// Agents act for the user, in the order in which they come: each acts for the
	// one before it, and the last one holds the token. Empty: the user's own token.
	Agents   []string
	Resource string // empty: the demo's first
	Scopes   []string
	// Lifetime of the last token, 1 s to [MaxAskedLifetime]; zero: the usual one. An
	// agent's token never outlives the user's.
	Lifetime time.Duration
	Expired  bool // a token that expired five minutes ago
}

// NewClient contacts the issuer of these secrets. The HTTP client may be nil.
func NewClient(ctx context.Context, secrets Secrets, client *http.Client) (*Client, error) {
	if _, err := parseURL(secrets.Issuer); err != nil {
		return nil, fmt.Errorf("contact demo issuer: %w", err)
	}
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	provider, err := login.Discover(ctx, client, secrets.Issuer)
	if err != nil {
		return nil, fmt.Errorf("contact demo issuer: %w", err)
	}
	return &Client{provider: provider, secrets: secrets, http: client}, nil
}

// Token signs the user in without a browser and passes the token from agent to
// agent. A refusal is a [*login.GrantError].
func (c *Client) Token(ctx context.Context, request TokenRequest) (*login.Token, error) {
	token, err := c.token(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("get demo token: %w", err)
	}
	return token, nil
}

func (c *Client) token(ctx context.Context, request TokenRequest) (*login.Token, error) {
	target := login.Target{Resource: request.Resource, Scopes: request.Scopes}
	final := target
	final.Params = request.params()
	if request.User == "" {
		if len(request.Agents) != 1 {
			return nil, errors.New("a token without a user is one agent's own")
		}
		agent, err := c.agent(request.Agents[0])
		if err != nil {
			return nil, err
		}
		return agent.Credentials(ctx, final)
	}
	if len(request.Agents) == 0 {
		return c.signIn(ctx, request.User, final)
	}
	token, err := c.signIn(ctx, request.User, target)
	if err != nil {
		return nil, err
	}
	for n, id := range request.Agents {
		agent, err := c.agent(id)
		if err != nil {
			return nil, err
		}
		step := target
		if n == len(request.Agents)-1 {
			step = final
		}
		if token, err = agent.Exchange(ctx, token.Access, step); err != nil {
			return nil, err
		}
	}
	return token, nil
}

func (r TokenRequest) params() url.Values {
	params := url.Values{}
	if r.Lifetime != 0 {
		params.Set(ParamLifetime, strconv.Itoa(int(r.Lifetime/time.Second)))
	}
	if r.Expired {
		params.Set(ParamExpired, "true")
	}
	return params
}

func (c *Client) agent(id string) (*login.Client, error) {
	secret, ok := c.secrets.Clients[id]
	if !ok {
		return nil, fmt.Errorf("the demo has no agent %q", id)
	}
	return &login.Client{Provider: c.provider, ID: id, Secret: login.Secret(secret), HTTP: c.http}, nil
}

// signIn is the code flow of the CLI with this process in the browser's place.
func (c *Client) signIn(ctx context.Context, user string, target login.Target) (*login.Token, error) {
	people := &login.Client{Provider: c.provider, ID: CLIClient, HTTP: c.http}
	return people.CodeFlow(ctx, login.CodeRequest{
		Target: target, AuthParams: url.Values{"prompt": {"none"}, "login_hint": {user}}, Show: c.open,
	})
}

func (c *Client) open(ctx context.Context, address string) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request) // follows the redirect to the code flow's listener
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.Request.URL.Path != login.CallbackPath {
		return fmt.Errorf("the issuer answered %d instead of coming back", response.StatusCode)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, maxBody))
	return err
}
