package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/login"
)

// signInWait is how long a person has to sign in.
const signInWait = 10 * time.Minute

func newLoginCommand(env *environment) *cobra.Command {
	var issuer, clientID, hint, acr string
	var scopes []string
	var device bool
	c := &cobra.Command{
		Use:   "login",
		Short: "Sign in at the broker's issuer, in a browser",
		Long: `Sign in as a person, by the authorization code flow with PKCE, at an issuer that the
broker names. Deed prints the address to open in a browser on this machine; with
--device, an address and a code for a browser on any other. What it gets is kept in
$XDG_DATA_HOME/deed/sessions.json, readable by its owner only, and used by the other
commands for this broker.`,
		Example: `  deed login
  deed login --url https://deed.acme.example --client-id deed-cli
  deed login --acr gold      (where a refusal asked for it)
  deed login --device`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&issuer, "issuer", "", "the issuer's `URL`, if the broker accepts several")
	flags.StringVar(&clientID, "client-id", "deed-cli", "the OAuth client to sign in through")
	flags.StringSliceVar(&scopes, "scope", []string{"openid"}, "scopes to ask for")
	flags.BoolVar(&device, "device", false, "sign in with a code, in a browser on another machine")
	flags.StringVar(&acr, "acr", "", "ask the issuer for a login of this `strength` (acr_values), as a refusal names it")
	flags.StringVar(&hint, "user", "", "suggest this `user` to the issuer (login_hint)")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		base, err := env.brokerURL()
		if err != nil {
			return err
		}
		resource, err := resourceOf(cmd, base)
		if err != nil {
			return err
		}
		at, err := chooseIssuer(resource.Issuers, issuer)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), signInWait)
		defer cancel()
		request := login.CodeRequest{Target: login.Target{Resource: resource.Resource, Scopes: scopes}, Show: env.showAddress}
		if device && acr != "" {
			return withHint(errors.New("--acr does not go with --device: the request for a code cannot ask for it"), "sign in without --device")
		}
		request.AuthParams = url.Values{}
		for name, value := range map[string]string{"login_hint": hint, "acr_values": acr} {
			if value != "" {
				request.AuthParams.Set(name, value)
			}
		}
		session, err := env.signIn(ctx, at, clientID, request, device)
		if err != nil {
			return err
		}
		return env.keep(ctx, base, session)
	}
	return c
}

func (e *environment) signIn(ctx context.Context, issuer, clientID string, request login.CodeRequest, device bool) (*login.Session, error) {
	hc := &http.Client{Timeout: 30 * time.Second}
	provider, err := login.Discover(ctx, hc, issuer)
	if err != nil {
		return nil, err
	}
	c := login.Client{Provider: provider, ID: clientID, HTTP: hc}
	var token *login.Token
	if device {
		token, err = c.DeviceFlow(ctx, login.DeviceRequest{Target: request.Target, Show: e.showCode})
	} else {
		token, err = c.CodeFlow(ctx, request)
	}
	if err != nil {
		return nil, err
	}
	return &login.Session{Issuer: issuer, ClientID: clientID, Token: *token}, nil
}

func (e *environment) showAddress(_ context.Context, address string) error {
	e.say("Open this address in a browser on this machine to sign in:\n\n  %s\n\n", address)
	return nil
}

func (e *environment) showCode(_ context.Context, code login.DeviceCode) error {
	if code.Complete == "" {
		e.say("Open this address in any browser, and enter the code %s to sign in:\n\n  %s\n\n", code.UserCode, code.Address)
		return nil
	}
	e.say("Open this address in any browser to sign in, and check that it shows the code %s:\n\n  %s\n\n", code.UserCode, code.Complete)
	return nil
}

func (e *environment) keep(ctx context.Context, base string, session *login.Session) error {
	store, err := e.sessions()
	if err != nil {
		return err
	}
	if err := store.Save(ctx, base, *session); err != nil {
		return err
	}
	if e.json {
		return e.printJSON(map[string]any{"url": base, "issuer": session.Issuer, "expires": session.Token.Expires.UTC()})
	}
	e.printf("signed in at %s for %s\n", plain(session.Issuer), base)
	return nil
}

func newLogoutCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "Forget what `deed login` saved for the broker",
		Example: `  deed logout --url https://deed.acme.example`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			base, err := env.brokerURL()
			if err != nil {
				return err
			}
			store, err := env.sessions()
			if err != nil {
				return err
			}
			return store.Delete(cmd.Context(), base)
		},
	}
}

func joined(list []string) string { return strings.Join(list, ", ") }
