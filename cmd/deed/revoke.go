package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/cmd/deed/api"
)

func newRevokeCommand(env *environment) *cobra.Command {
	return family("revoke", "Stop an agent, a person or their tokens, now and everywhere",
		`Stop whoever is named, at every replica within a second: new calls are refused, held ones
closed, running ones cancelled, streams and sessions ended. It is on record, holds across
restarts, and ends by "deed revoke lift" or at the end that --for gives it.

Only people can, whom policy permits the action "revoke": on Agent or User, and for a
token, session or key on Domain::"deed".`,
		newRevokeKind(env, denylist.Agent, "NAME", "Stop an agent, whomever it acts for", `  deed revoke agent copilot --reason "it went wild" --as bob`),
		newRevokeKind(env, denylist.Principal, "NAME", "Stop a person, and all agents that act for them", `  deed revoke principal alice --reason "account taken over" --for 2h`),
		newRevokeToken(env),
		newRevokeKind(env, denylist.Session, "SID", "Stop all tokens of one login, exchanged ones too", `  deed revoke session 4b1c… --reason "left logged in"`),
		newRevokeChain(env),
		newRevokeKind(env, denylist.Key, "KID", "Stop all tokens that a key of an issuer has signed", `  deed revoke key 2026-11 --issuer https://idp.acme.example --reason "key leaked"`),
		newRevokeList(env), newRevokeLift(env))
}

// revocation are the flags that all kinds share.
type revocation struct {
	reason, issuer string
	lasts          time.Duration
}

func (r *revocation) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.reason, "reason", "", "why, for the record and for the agent")
	c.Flags().StringVar(&r.issuer, "issuer", "", "only tokens of this `issuer`")
	c.Flags().DurationVar(&r.lasts, "for", 0, "how long (default until it is lifted; a token: until it has expired)")
}

func (r *revocation) body(kind denylist.Kind, value string, agents ...string) (httpapi.NewRevocation, error) {
	switch {
	case strings.TrimSpace(r.reason) == "":
		return httpapi.NewRevocation{}, withHint(usage("a revocation needs a reason"), `say it by --reason "…": it is what the record will say`)
	case r.lasts < 0:
		return httpapi.NewRevocation{}, usage("--for must be positive")
	case kind == denylist.Key && r.issuer == "":
		return httpapi.NewRevocation{}, usage("a key is revoked of one issuer: name it by --issuer")
	}
	body := httpapi.NewRevocation{Kind: string(kind), Value: value, Agents: agents, Issuer: r.issuer, Reason: r.reason}
	if r.lasts > 0 {
		body.Until = time.Now().Add(r.lasts).UTC().Format(time.RFC3339Nano)
	}
	return body, nil
}

func newRevokeKind(env *environment, kind denylist.Kind, arg, short, example string) *cobra.Command {
	var r revocation
	c := &cobra.Command{Use: string(kind) + " " + arg + " --reason REASON", Short: short, Example: example, Args: cobra.ExactArgs(1)}
	r.flags(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		body, err := r.body(kind, args[0])
		if err != nil {
			return err
		}
		return env.revoke(cmd, body)
	}
	return c
}

// maxTokenBytes bounds a token on standard input.
const maxTokenBytes = 16 << 10

func newRevokeToken(env *environment) *cobra.Command {
	var r revocation
	c := &cobra.Command{
		Use:   "token (DIGEST | JTI | -) --reason REASON",
		Short: "Stop one token",
		Long: `Stop one token, by its SHA-256 as events have it, by its jti, or with - by the token
itself on standard input. The token is hashed here, and never sent.`,
		Example: `  deed show 019ab2c4-… --json | jq -r .identity.token | xargs -I{} deed revoke token {} --reason leaked
  pbpaste | deed revoke token - --reason "was in a screenshot"`,
		Args: cobra.ExactArgs(1),
	}
	r.flags(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		value := args[0]
		if strings.Count(value, ".") == 2 {
			return withHint(usage("that looks like the token itself, which others on this machine can read there"), "give it on standard input: deed revoke token -")
		}
		if value == "-" {
			text, err := io.ReadAll(io.LimitReader(env.stdin, maxTokenBytes))
			if err != nil {
				return fmt.Errorf("read token: %w", err)
			}
			token := strings.TrimSpace(string(text))
			if token == "" {
				return usage("there is no token on standard input")
			}
			sum := sha256.Sum256([]byte(token))
			value = hex.EncodeToString(sum[:])
		}
		body, err := r.body(denylist.Token, value)
		if err != nil {
			return err
		}
		return env.revoke(cmd, body)
	}
	return c
}

func newRevokeChain(env *environment) *cobra.Command {
	var r revocation
	c := &cobra.Command{
		Use:   "chain PRINCIPAL AGENT... --reason REASON",
		Short: "Stop agents acting for one person, and whom they delegate to",
		Long: `Stop a delegation: the person, then the agents in the order in which they delegated. Both
go on otherwise: the person by themselves and through others, the agents for others.`,
		Example: `  deed revoke chain alice copilot --reason "looking into it"
  deed revoke chain alice copilot sub-agent --reason "not this one"`,
		Args: cobra.MinimumNArgs(2),
	}
	r.flags(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		agents := slices.Clone(args[1:])
		slices.Reverse(agents) // the current actor first, as in a token
		body, err := r.body(denylist.Chain, args[0], agents...)
		if err != nil {
			return err
		}
		return env.revoke(cmd, body)
	}
	return c
}

func (e *environment) revoke(cmd *cobra.Command, body httpapi.NewRevocation) error {
	a, err := e.api()
	if err != nil {
		return err
	}
	made, err := a.Revoke(cmd.Context(), body)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(made)
	}
	e.printf("revoked: %s, %s\nlift it by: deed revoke lift %s\n", revokedWords(made), lasting(made, time.Now()), plain(made.ID))
	return nil
}

func revokedWords(r httpapi.Revocation) string {
	chain := append([]string{r.Value}, r.Agents...)
	slices.Reverse(chain[1:]) // in the order in which they delegated
	words := r.Kind + " " + strings.Join(chain, " → ")
	if r.Issuer != "" {
		words += " of " + r.Issuer
	}
	return plain(words)
}

func lasting(r httpapi.Revocation, now time.Time) string {
	if r.Until.IsZero() {
		return "until it is lifted"
	}
	return "for " + left(r.Until, now)
}

func newRevokeList(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List who is stopped",
		Example: `  deed revoke list --as bob`, Args: cobra.NoArgs,
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		a, err := env.api()
		if err != nil {
			return err
		}
		list, err := a.Revocations(cmd.Context())
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(map[string]any{"items": list})
		}
		if len(list) == 0 {
			env.say("nobody is stopped, as far as you may know\n")
			return nil
		}
		now := time.Now()
		t := newTable(env.stdout, "ID", "WHO", "SINCE", "LASTS", "BY", "REASON")
		for _, r := range list {
			t.row(plain(r.ID), cut(revokedWords(r), 60), plain(r.Since.Local().Format(time.DateTime)), lasting(r, now), plain(firstOf(r.By, r.Via)), cut(r.Reason, 60))
		}
		t.flush()
		return nil
	}
	return c
}

func newRevokeLift(env *environment) *cobra.Command {
	return lifting(env, (*api.Client).Lift, &cobra.Command{
		Short:   "Let somebody go on who was stopped",
		Long:    `Lift a revocation. Calls that it ended stay ended.`,
		Example: `  deed revoke lift 019ab2c4-… --reason "mended and tested" --as bob`,
	})
}

// lifting is the verb that ends what is in force, for a reason.
func lifting(env *environment, lift func(c *api.Client, ctx context.Context, id, reason string) (httpapi.Lifted, error), c *cobra.Command) *cobra.Command {
	var reason string
	c.Use, c.Args = "lift ID", cobra.ExactArgs(1)
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := env.api()
		if err != nil {
			return err
		}
		lifted, err := lift(a, cmd.Context(), args[0], reason)
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(lifted)
		}
		env.printf("lifted: %s\n", plain(lifted.ID))
		return nil
	}
	return c
}
