package main

import (
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/cmd/deed/api"
)

func newTokenCommand(env *environment) *cobra.Command {
	var request demo.TokenRequest
	c := &cobra.Command{
		Use:   "token [--user USER] [--agent AGENT]...",
		Short: "Print a token from the demo's issuer",
		Long: `Print an access token from the issuer of the demo that runs on this machine.

With --user alone it is that person's own token, which may approve. With agents it
is the last agent's, which acts for the one before it, and the first for the user.
An agent without a user acts on its own.`,
		Example: `  deed token --user bob
  deed token --user alice --agent copilot
  deed token --user alice --agent copilot --agent sub-agent --lifetime 1m
  DEED_TOKEN=$(deed token --user alice --agent copilot --expired) deed tools`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&request.User, "user", "", "the `user` for whom it is: alice, bob or carol")
	flags.StringArrayVar(&request.Agents, "agent", nil, "an `agent` that acts: copilot or sub-agent; may be repeated")
	flags.DurationVar(&request.Lifetime, "lifetime", 0, "how long it is valid, up to 1h")
	flags.BoolVar(&request.Expired, "expired", false, "a token that has expired already, to see it refused")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkRequest(request); err != nil {
			return err
		}
		issuer, err := env.demoIssuer(cmd.Context(), nil)
		if err != nil {
			return err
		}
		token, err := issuer.Token(cmd.Context(), request)
		if err != nil {
			if g, ok := errors.AsType[*login.GrantError](err); ok && g.Description != "" {
				return withHint(err, "the demo knows the users alice, bob and carol, and the agents copilot and sub-agent")
			}
			return err
		}
		if env.json {
			return env.printJSON(map[string]any{"access_token": string(token.Access), "expires": token.Expires.UTC()})
		}
		env.printf("%s\n", string(token.Access))
		return nil
	}
	return c
}

func checkRequest(r demo.TokenRequest) error {
	switch {
	case r.User == "" && len(r.Agents) == 0:
		return usage("say for whom the token is: --user, --agent or both")
	case r.Lifetime < 0 || r.Lifetime > demo.MaxAskedLifetime || (r.Lifetime > 0 && r.Lifetime < time.Second):
		return usage("--lifetime must be from 1s to %s", demo.MaxAskedLifetime)
	case r.Expired && r.Lifetime > 0:
		return usage("--expired and --lifetime exclude each other")
	default:
		return nil
	}
}

// resourceOf is the metadata of the broker at base, which must be the resource that tokens
// for base are for: no other broker's (RFC 9728 section 3.3).
func resourceOf(cmd *cobra.Command, base string) (api.Resource, error) {
	r, err := api.New(base, nil).Resource(cmd.Context())
	if err != nil {
		return r, err
	}
	if r.Resource != base+"/mcp" {
		return r, withHint(&exit{code: exitRefused, err: errors.New("the broker calls itself " + plain(r.Resource) + ", not " + base + "/mcp")},
			"use the broker's own name as --url, or correct `url` in its deed.yaml")
	}
	return r, nil
}

// chooseIssuer is the issuer to sign in at.
func chooseIssuer(known []string, asked string) (string, error) {
	switch {
	case len(known) == 0:
		return "", errors.New("the broker names no issuer to sign in at")
	case asked == "" && len(known) == 1:
		return known[0], nil
	case asked == "":
		return "", withHint(usage("the broker accepts several issuers"), "choose one by --issuer: "+plain(joined(known)))
	case !slices.Contains(known, asked):
		return "", withHint(usage("the broker does not accept the issuer %s", plain(asked)), "it accepts "+plain(joined(known)))
	default:
		return asked, nil
	}
}
