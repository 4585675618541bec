package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/cmd/deed/api"
)

// renewEarly is how long before its end a saved token is renewed.
const renewEarly = 30 * time.Second

// tokenSource gives tokens for the broker: from the flag, the demo, the environment, or what
// was saved, in this order. agents act for the user of a demo.
func (e *environment) tokenSource(agents ...string) (client.TokenFunc, error) {
	if len(agents) > 0 && e.as == "" {
		return nil, withHint(usage("--agent is for a demo's agents, acting for a user"), "give the user by --as, or a token by --token or DEED_TOKEN")
	}
	if e.token != "" && e.as != "" {
		return nil, usage("--token and --as exclude each other")
	}
	switch given := e.getenv("DEED_TOKEN"); {
	case e.token != "":
		return fixed(e.token), nil
	case e.as != "":
		return e.demoTokens(agents), nil
	case given != "":
		return fixed(given), nil
	default:
		return e.savedToken, nil
	}
}

func fixed(token string) client.TokenFunc {
	return func(context.Context) (string, error) { return strings.TrimSpace(token), nil }
}

// api is a client of the broker's HTTP API.
func (e *environment) api() (*api.Client, error) {
	base, err := e.brokerURL()
	if err != nil {
		return nil, err
	}
	token, err := e.tokenSource()
	if err != nil {
		return nil, err
	}
	return api.New(base, token), nil
}

// mcp is a client that calls tools. The caller closes it.
func (e *environment) mcp(agents []string) (*client.Client, error) {
	base, err := e.brokerURL()
	if err != nil {
		return nil, err
	}
	token, err := e.tokenSource(agents...)
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{URL: base, Token: token, Name: "deed-cli", Version: version()})
}

// demoTokens gets tokens of the demo on this machine, once there is need, and again
// before they end.
func (e *environment) demoTokens(agents []string) client.TokenFunc {
	var have *login.Token
	lock := make(chan struct{}, 1)
	return func(ctx context.Context) (string, error) {
		select {
		case lock <- struct{}{}:
			defer func() { <-lock }()
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if have != nil && have.Valid(time.Now().Add(renewEarly)) && !client.Refused(ctx, string(have.Access)) {
			return string(have.Access), nil
		}
		fresh, err := e.demoToken(ctx, demo.TokenRequest{User: e.as, Agents: agents})
		if err != nil {
			return "", err
		}
		have = fresh
		return string(fresh.Access), nil
	}
}

// demoToken gets a token from the demo's issuer for the broker, and from nobody else: the broker
// must name that issuer as its own.
func (e *environment) demoToken(ctx context.Context, request demo.TokenRequest) (*login.Token, error) {
	base, err := e.brokerURL()
	if err != nil {
		return nil, err
	}
	resource, err := api.New(base, nil).Resource(ctx)
	if err != nil {
		return nil, err
	}
	c, err := e.demoIssuer(ctx, func(issuer string) error {
		if slices.Contains(resource.Issuers, issuer) {
			return nil
		}
		return withHint(&exit{code: exitRefused, err: fmt.Errorf("the broker at %s is not the demo of this machine", base)},
			"it takes no identity by name; sign in with `deed login`")
	})
	if err != nil {
		return nil, err
	}
	request.Resource = resource.Resource
	return c.Token(ctx, request)
}

// demoIssuer contacts the issuer of the demo that was started last, if it is accepted.
func (e *environment) demoIssuer(ctx context.Context, accept func(issuer string) error) (*demo.Client, error) {
	dir, err := e.demoDir()
	if err != nil {
		return nil, err
	}
	secrets, err := demo.LoadSecrets(filepath.Join(dir, secretsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(&exit{code: exitRefused, err: errors.New("there is no demo on this machine")}, "start one with `deed demo`")
	}
	if err != nil {
		return nil, err
	}
	if accept != nil {
		if err := accept(secrets.Issuer); err != nil {
			return nil, err
		}
	}
	c, err := demo.NewClient(ctx, secrets, nil)
	if err != nil {
		return nil, withHint(&exit{code: exitBusy, err: err}, "the demo does not run; start it with `deed demo`")
	}
	return c, nil
}

func (e *environment) sessions() (*login.Store, error) {
	dir, err := e.dataDir()
	if err != nil {
		return nil, err
	}
	return login.NewStore(filepath.Join(dir, sessionsName)), nil
}

// savedToken is what `deed login` saved for the broker, renewed if it has to be.
func (e *environment) savedToken(ctx context.Context) (string, error) {
	base, err := e.brokerURL()
	if err != nil {
		return "", err
	}
	store, err := e.sessions()
	if err != nil {
		return "", err
	}
	session, err := store.Load(base)
	if errors.Is(err, login.ErrNoSession) {
		return "", fmt.Errorf("%w at %s", login.ErrNoSession, base)
	}
	if err != nil {
		return "", err
	}
	if session.Token.Valid(time.Now().Add(renewEarly)) && !client.Refused(ctx, string(session.Token.Access)) {
		return string(session.Token.Access), nil
	}
	if session.Token.Refresh == "" {
		return "", errors.New("the saved sign-in has expired")
	}
	if err := renew(ctx, base, session); err != nil {
		return "", err
	}
	if err := store.Save(ctx, base, *session); err != nil {
		return "", err
	}
	return string(session.Token.Access), nil
}

func renew(ctx context.Context, base string, session *login.Session) error {
	hc := &http.Client{Timeout: 30 * time.Second}
	provider, err := login.Discover(ctx, hc, session.Issuer)
	if err != nil {
		return err
	}
	c := login.Client{Provider: provider, ID: session.ClientID, HTTP: hc}
	token, err := c.Renew(ctx, session.Token.Refresh, login.Target{Resource: base + "/mcp"})
	if err != nil {
		return fmt.Errorf("renew sign-in: %w", err)
	}
	session.Token = *token
	return nil
}
