package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/hindsight"
)

func newPolicyShadowCommand(env *environment) *cobra.Command {
	var f pastFlags
	examples := 3
	c := &cobra.Command{
		Use:   "shadow",
		Short: "Show where a draft that runs beside the policies differs from them",
		Long: `A draft that deed.yaml names under shadow: is asked about each call beside the policies in
force, and changes nothing:

  shadow: { policies: [draft/*.cedar] }

Its decisions are on record with each call; this shows where they differ, for each draft there
was, the latest first. deed policy replay asks a draft about calls that it was not asked about.

` + pastLong + `

The exit code is 1 if the latest draft would have decided a call otherwise.`,
		Example: `  deed policy shadow -c deed.yaml --since 1d
  deed policy shadow --data /var/lib/deed --json`,
		Args: cobra.NoArgs,
	}
	f.addHistory(c)
	c.Flags().IntVar(&examples, "examples", examples, "how many calls of each change are shown")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		report, err := env.shadows(cmd.Context(), f, examples)
		if err != nil {
			return err
		}
		if env.json {
			if err := env.printJSON(report); err != nil {
				return err
			}
		} else {
			env.printShadows(report)
		}
		return env.ended(failures(report.Differs()))
	}
	return c
}

func (e *environment) shadows(ctx context.Context, f pastFlags, examples int) (*hindsight.Shadowed, error) {
	var o hindsight.Options
	if err := f.period(&o); err != nil {
		return nil, err
	}
	o.Examples = max(0, examples)
	data := f.data
	if data == "" {
		cfg, err := loadConfig(f.config)
		if err != nil {
			return nil, err
		}
		data = cfg.Data
	}
	from, err := e.openSource(ctx, []string{data})
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }() // it was only read
	return hindsight.Shadows(ctx, from, o)
}

func (e *environment) printShadows(r *hindsight.Shadowed) {
	now := time.Now()
	for _, d := range r.Drafts {
		e.printf("draft %.12s, asked from %s to %s\n", plain(d.PolicySet), when(d.First, now), when(d.Last, now))
		e.printChanges(d.Changes, "would be")
		e.printf("%d calls: %d as they were, %d otherwise, %d with an error in the draft\n", d.Calls, d.Same, d.Calls-d.Same, d.Failed)
	}
	e.printf("%d calls that no draft was asked about\n", r.Unasked)
}
