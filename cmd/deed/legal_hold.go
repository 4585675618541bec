package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/cmd/deed/api"
)

func newLegalHoldCommand(env *environment) *cobra.Command {
	return family("legal-hold", "Keep records from retention and erasure",
		`Keep calls as they are while a legal hold is in force: their arguments and results outlive
their retention, nobody can erase them, and their records are not retired. It is on record,
holds across restarts and replicas, and ends by "deed legal-hold lift". (A call that waits
for people is another thing: see deed pending.)

Only people can, whom policy permits the action "legal-hold" on the domain that the hold
names, or else on Domain::"deed".`,
		newLegalHoldAdd(env), newLegalHoldList(env), newLegalHoldLift(env))
}

func newLegalHoldAdd(env *environment) *cobra.Command {
	var scope scopeFlags
	var reason string
	c := &cobra.Command{
		Use:   "add [CALL] --reason REASON",
		Short: "Place a legal hold on a call, or on all that fit the flags",
		Example: `  deed legal-hold add --principal alice --since 2026-01-01 --reason "case 17/2026" --as bob
  deed legal-hold add --domain payments --agent copilot --reason "audit"
  deed legal-hold add 019ab2c4-… --reason "disputed"`,
		Args: cobra.MaximumNArgs(1),
	}
	scope.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := scope.scope(args, time.Now())
		if err != nil {
			return err
		}
		if strings.TrimSpace(reason) == "" {
			return withHint(usage("a legal hold needs a reason"), `say it by --reason "…": it is what the record will say`)
		}
		a, err := env.api()
		if err != nil {
			return err
		}
		h, err := a.PlaceLegalHold(cmd.Context(), httpapi.NewLegalHold{Scope: s, Reason: reason})
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(h)
		}
		env.printf("on legal hold: %s, until it is lifted\nlift it by: deed legal-hold lift %s\n", scopeWords(h.Scope), plain(h.ID))
		return nil
	}
	return c
}

func newLegalHoldList(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the legal holds in force",
		Example: `  deed legal-hold list --as bob`, Args: cobra.NoArgs,
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		a, err := env.api()
		if err != nil {
			return err
		}
		list, err := a.LegalHolds(cmd.Context())
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(map[string]any{"items": list})
		}
		if len(list) == 0 {
			env.say("no legal hold is in force, as far as you may know\n")
			return nil
		}
		t := newTable(env.stdout, "ID", "HOLDS", "SINCE", "BY", "REASON")
		for _, h := range list {
			t.row(plain(h.ID), cut(scopeWords(h.Scope), 80), plain(h.Since.Local().Format(time.DateTime)), plain(h.By), cut(h.Reason, 60))
		}
		t.flush()
		return nil
	}
	return c
}

func newLegalHoldLift(env *environment) *cobra.Command {
	return lifting(env, (*api.Client).LiftLegalHold, &cobra.Command{
		Short:   "Let retention and erasure have what was held",
		Example: `  deed legal-hold lift 019ab2c4-… --reason "the case is closed" --as bob`,
	})
}
