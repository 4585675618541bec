package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/httpapi"
)

func newGrantCommand(env *environment) *cobra.Command {
	var where []string
	var digest, reason string
	var uses int
	var lasts time.Duration
	var preview bool
	c := &cobra.Command{
		Use:   "grant CALL",
		Short: "Approve a held call, and so many like it in advance",
		Long: `Approve a held call and, in advance, calls like it: of the same tool, by the same agent
for the same person, with arguments that fulfil the conditions. A condition is a JSON
pointer into the arguments with = and a JSON value, or with <= or >= and a number.

The grant counts as one's own approval of so many calls until its end, and each of
them names it on record. --preview shows which calls of the last 30 days it would
have covered, and makes none.`,
		Example: `  deed grant 019ab2c4-… --where '/currency="EUR"' --where '/amount<=200' --uses 5 --for 2h
  deed grant 019ab2c4-… --where '/amount<=200' --preview`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringArrayVar(&where, "where", nil, "a `condition` on an argument; may be given again")
	c.Flags().IntVar(&uses, "uses", 1, "how many calls, this one included")
	c.Flags().DurationVar(&lasts, "for", time.Hour, "for how long")
	c.Flags().StringVar(&digest, "digest", "", "only if the call has this `digest`")
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&preview, "preview", false, "show what it would have covered, and make none")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		request := httpapi.GrantRequest{CallID: args[0], Digest: digest, Uses: uses, Until: time.Now().Add(lasts), Reason: reason, Where: []httpapi.Condition{}}
		for _, text := range where {
			condition, err := parseCondition(text)
			if err != nil {
				return err
			}
			request.Where = append(request.Where, condition)
		}
		a, err := env.api()
		if err != nil {
			return err
		}
		if preview {
			p, err := a.PreviewGrant(cmd.Context(), request)
			if err != nil {
				return err
			}
			return env.printPreview(p)
		}
		if request.Digest == "" {
			call, err := a.Call(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			request.Digest = call.Digest
		}
		g, err := a.Grant(cmd.Context(), request)
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(g)
		}
		env.printf("granted: %d calls of %s for %s, until %s; grant %s\n",
			g.Uses, plain(g.Tool), parties(g.Principal, g.Chain), when(g.Until, time.Now()), plain(g.ID))
		return nil
	}
	return c
}

// parseCondition reads the form /amount<=200.
func parseCondition(text string) (httpapi.Condition, error) {
	i := strings.IndexAny(text, "=<>")
	if i <= 0 || !strings.HasPrefix(text, "/") {
		return httpapi.Condition{}, withHint(usage("condition %q is not one", text), `write it like '/amount<=200' or '/currency="EUR"'`)
	}
	c := httpapi.Condition{Field: text[:i]}
	value := strings.TrimLeft(text[i:], "=<>")
	switch text[i : len(text)-len(value)] {
	case "<=":
		c.AtMost = value
	case ">=":
		c.AtLeast = value
	case "=":
		if !jsontext.Value(value).IsValid() {
			return c, withHint(usage("condition %q does not compare with a JSON value", text), `text needs quotes: '/currency="EUR"'`)
		}
		c.Equals = jsontext.Value(value)
	default:
		return c, usage("condition %q compares by none of =, <= and >=", text)
	}
	return c, nil
}

func (e *environment) printPreview(p httpapi.GrantPreview) error {
	if e.json {
		return e.printJSON(p)
	}
	e.printf("it would have covered %d of %d calls alike since %s\n", p.Covered, p.Alike, p.Since.Format(time.DateOnly))
	if len(p.Calls) == 0 {
		return nil
	}
	return e.printCalls(p.Calls)
}

func newGrantsCommand(env *environment) *cobra.Command {
	list := func(cmd *cobra.Command, _ []string) error {
		a, err := env.api()
		if err != nil {
			return err
		}
		all, err := a.Grants(cmd.Context())
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(map[string]any{"items": all})
		}
		env.printGrants(all)
		return nil
	}
	c := family("grants", "List approvals given in advance, and take them back", "", newEndGrantCommand(env))
	c.Example = "  deed grants\n  deed grants revoke 019ab2c4-… --reason \"the sale is over\""
	c.Args, c.RunE = cobra.NoArgs, list
	return c
}

func newEndGrantCommand(env *environment) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:     "revoke GRANT",
		Short:   "Take a grant back",
		Long:    `Take a grant back. What it was used for already stays approved.`,
		Example: `  deed grants revoke 019ab2c4-… --reason "the sale is over"`,
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := env.api()
		if err != nil {
			return err
		}
		g, err := a.EndGrant(cmd.Context(), args[0], reason)
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(g)
		}
		env.printf("taken back: grant %s of %s, used %d times\n", plain(g.ID), plain(g.Tool), len(g.UsedBy))
		return nil
	}
	return c
}

func (e *environment) printGrants(all []httpapi.Grant) {
	if len(all) == 0 {
		e.say("no grants\n")
		return
	}
	now := time.Now()
	t := newTable(e.stdout, "GRANT", "TOOL", "FOR", "WHERE", "BY", "LEFT", "UNTIL")
	for _, g := range all {
		remains := fmt.Sprintf("%d of %d", g.Left, g.Uses)
		if g.EndedBy != "" {
			remains = "taken back by " + g.EndedBy
		}
		t.row(plain(g.ID), plain(g.Tool), parties(g.Principal, g.Chain), cut(whereWords(g.Where), 60), plain(g.By), plain(remains), when(g.Until, now))
	}
	t.flush()
}

func whereWords(where []httpapi.Condition) string {
	var words []string
	for _, c := range where {
		switch {
		case c.AtMost != "":
			words = append(words, c.Field+"<="+c.AtMost)
		case c.AtLeast != "":
			words = append(words, c.Field+">="+c.AtLeast)
		default:
			words = append(words, c.Field+"="+string(c.Equals))
		}
	}
	return firstOf(strings.Join(words, " "), "any arguments")
}
