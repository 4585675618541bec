package main

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/oauth"
	"github.com/deedbroker/deed/broker/server"
)

func newUpstreamsCommand(env *environment) *cobra.Command {
	c := family("upstreams", "See how the upstreams fare, and consent to the use of those that ask for OAuth",
		`List the upstreams that you may see, as the broker that answers sees them: whether they can
take calls now, and if not, why.`, newUpstreamsLoginCommand(env), newUpstreamsLogoutCommand(env))
	c.Example = "  deed upstreams --as carol\n  deed upstreams login tracker -c deed.yaml"
	inner := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return inner(cmd, args)
		}
		return env.listUpstreams(cmd.Context())
	}
	return c
}

func (e *environment) listUpstreams(ctx context.Context) error {
	a, err := e.api()
	if err != nil {
		return err
	}
	all, err := a.Upstreams(ctx)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(map[string]any{"items": all})
	}
	if len(all) == 0 {
		e.say("there is no upstream that you may see\n")
		return nil
	}
	t := newTable(e.stdout, "UPSTREAM", "DOMAIN", "TOOLS", "QUARANTINED", "SINCE", "STATE")
	for _, u := range all {
		t.row(plain(u.Upstream), plain(u.Domain), strconv.Itoa(u.Tools), strconv.Itoa(u.Quarantined), when(u.Since, time.Now()), stateOf(u))
	}
	t.flush()
	return nil
}

func stateOf(u httpapi.Upstream) string {
	if u.Health == "" {
		return "ready"
	}
	return "not ready: " + plain(u.Health)
}

func newUpstreamsLoginCommand(env *environment) *cobra.Command {
	var path string
	var port int
	c := &cobra.Command{
		Use:   "login NAME",
		Short: "Consent to the broker's use of an upstream that asks for OAuth",
		Long: `Consent, as a person, to the broker's use of an MCP server that deed.yaml names with
auth.oauth. Deed asks the server for its authorization server, is a client there by
client_id or client_metadata, or registers itself, and prints the address to open in a
browser on this machine. What it gets is kept in the data directory, readable by its
owner only; a broker that runs takes it up within a second.

Run it on the broker's machine, as the user that the broker runs as, once for each broker.
A browser elsewhere reaches it through a tunnel to --port.`,
		Example: `  deed upstreams login tracker -c deed.yaml
  deed upstreams login tracker --port 8765      (ssh -L 8765:127.0.0.1:8765 broker)`,
		Args: cobra.ExactArgs(1),
	}
	configFlag(c, &path)
	c.Flags().IntVar(&port, "port", 0, "where the browser comes back to on loopback (default the last one, else any)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := env.upstreamClient(path, args[0])
		if err != nil {
			return err
		}
		if port < 0 || port > 65535 {
			return usage("--port %d is none", port)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), signInWait)
		defer cancel()
		now, err := client.Login(ctx, oauth.LoginOptions{Port: port, Show: env.showAddress})
		switch {
		case errors.Is(err, oauth.ErrNoConsent):
			return usage("%w", err)
		case errors.As(err, new(*login.GrantError)):
			return withHint(err, "if it does not like what was asked for, write auth.oauth.scopes: these alone are asked for then")
		case err != nil:
			return err
		}
		return env.consented(args[0], now)
	}
	return c
}

func (e *environment) upstreamClient(path, name string) (*oauth.Client, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, e.problems(err)
	}
	client, err := server.UpstreamClient(cfg, name, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, withHint(usage("%w", err), "an upstream that asks for OAuth has `auth: { oauth: {} }` in deed.yaml")
	}
	return client, nil
}

func (e *environment) consented(name string, now *oauth.Consented) error {
	if e.json {
		return e.printJSON(map[string]any{
			"upstream": name, "issuer": now.Issuer, "client_id": now.ClientID, "scopes": now.Scopes, "expires": now.Expires.UTC(), "renews": now.Renews,
		})
	}
	e.printf("the broker may use %s, by %s\n", plain(name), plain(now.Issuer))
	if len(now.Scopes) > 0 {
		e.printf("scopes: %s\n", plain(strings.Join(now.Scopes, " ")))
	}
	if !now.Renews {
		e.say("warning: the authorization server gave no refresh token: once the token has expired, a person has to consent again\n")
	}
	return nil
}

func newUpstreamsLogoutCommand(env *environment) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "logout NAME",
		Short: "Forget a consent to the use of an upstream",
		Long: `Forget the tokens of an upstream that asks for OAuth. A broker that runs makes no further
call of it. Revoke the consent at the authorization server, too, if it should end there.`,
		Example: `  deed upstreams logout tracker -c deed.yaml`,
		Args:    cobra.ExactArgs(1),
	}
	configFlag(c, &path)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := env.upstreamClient(path, args[0])
		if err != nil {
			return err
		}
		return client.Logout(cmd.Context())
	}
	return c
}
