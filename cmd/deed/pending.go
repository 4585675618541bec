package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/cmd/deed/api"
)

func newPendingCommand(env *environment) *cobra.Command {
	var watch bool
	var every time.Duration
	c := &cobra.Command{
		Use:   "pending",
		Short: "List the calls that wait for people",
		Long: `List the held calls that one may decide or read, the earliest deadline first.
With --watch, print each call as it comes, until interrupted; with --json too, one
line of JSON for each.`,
		Example: `  deed pending --as bob
  deed pending --watch --json | jq -r .call_id`,
		Args: cobra.NoArgs,
	}
	c.Flags().BoolVar(&watch, "watch", false, "go on, and print calls as they come")
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often --watch asks")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if every < 100*time.Millisecond {
			return usage("--every must be at least 100ms")
		}
		a, err := env.api()
		if err != nil {
			return err
		}
		if watch {
			return env.watchPending(cmd.Context(), a, every)
		}
		held, err := a.Held(cmd.Context())
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(map[string]any{"items": held})
		}
		env.printHeld(held)
		return nil
	}
	return c
}

func (e *environment) printHeld(held []httpapi.HeldCall) {
	if len(held) == 0 {
		e.say("no call waits for people\n")
		return
	}
	now := time.Now()
	t := newTable(e.stdout, "CALL", "TOOL", "FOR", "WAITS FOR", "VOTES", "LEFT", "MAY I")
	for _, h := range held {
		t.row(plain(h.CallID), plain(h.Tool), parties(h.Principal, h.Chain), plain(strings.Join(h.Approvers, " or ")),
			fmt.Sprint(len(h.Votes)), left(h.Expires, now), mayI(h))
	}
	t.flush()
}

func mayI(h httpapi.HeldCall) string {
	if h.MayVote {
		return "yes"
	}
	return cut("no: "+h.WhyNot, 60)
}

// watchPending prints each held call once, as it comes.
func (e *environment) watchPending(ctx context.Context, a *api.Client, every time.Duration) error {
	seen := map[string]bool{}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		held, err := a.Held(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil // interrupted, as such a watch ends
			}
			return err
		}
		now := map[string]bool{}
		for _, h := range held {
			now[h.CallID] = true
			if seen[h.CallID] {
				continue
			}
			if err := e.printArrival(h); err != nil {
				return err
			}
		}
		maps.DeleteFunc(seen, func(id string, _ bool) bool { return !now[id] })
		maps.Copy(seen, now)
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (e *environment) printArrival(h httpapi.HeldCall) error {
	if e.json {
		return e.printLine(h)
	}
	e.describe(h)
	e.printf("\n")
	return nil
}

// describe shows a held call with everything that a person decides on.
func (e *environment) describe(h httpapi.HeldCall) {
	e.printf("call      %s\n", plain(h.CallID))
	e.printf("tool      %s\n", plain(h.Tool))
	e.printf("for       %s\n", parties(h.Principal, h.Chain))
	if h.Client != "" {
		e.printf("client    %s (says so itself)\n", plain(h.Client))
	}
	e.printf("made      %s\n", when(h.Opened, time.Now()))
	if !h.Expires.IsZero() && h.State == "held" {
		e.printf("expires   %s (%s left)\n", when(h.Expires, time.Now()), left(h.Expires, time.Now()))
	}
	by := "held by"
	if h.Expires.IsZero() { // it never was
		by = "policy"
	}
	for _, r := range once(h.Reasons) {
		e.printf("%-9s %s\n", by, strings.TrimSuffix(plain(r.Policy)+": "+plain(r.Text), ": "))
	}
	if h.Justification != "" {
		e.printf("because   %s (says the agent; nobody has verified it)\n", plain(h.Justification))
	}
	if p := h.Precedents; p != nil {
		e.printf("before    in %d days %d approved, %d denied, %d expired of the like\n", p.Days, p.Approved, p.Denied, p.Expired)
	}
	if h.State == "held" {
		e.printf("waits for %s\n", firstOf(plain(strings.Join(h.Approvers, " or ")), "whoever may approve"))
	}
	for _, v := range h.Votes {
		e.printf("approved  by %s, %s %s\n", plain(v.By), when(v.At, time.Now()), plain(v.Reason))
	}
	e.printf("digest    %s\n", plain(h.Digest))
	for _, f := range h.Redacted.Arguments {
		e.printf("redacted  %d × %s: not on record, and run as the agent gave it\n", f.N, plain(f.Rule))
	}
	for _, s := range h.Secrets.Arguments {
		e.printf("SECRET    %d × %s in what the agent sent\n", s.N, plain(s.Rule))
	}
	switch {
	case h.Withheld.Arguments != "":
		e.printf("arguments %s\n", plain(h.Withheld.Arguments))
	case h.ArgumentsErased:
		e.printf("arguments have been erased\n")
	case len(h.Arguments) > 0:
		e.printf("arguments\n%s\n", indent(prettyJSON(h.Arguments)))
	}
}

// once are the policies and their reasons, each once, whichever links of the chain they
// are about.
func once(reasons []audit.Reason) []audit.Reason {
	var out []audit.Reason
	for _, r := range reasons {
		if !slices.ContainsFunc(out, func(o audit.Reason) bool { return o.Policy == r.Policy && o.Text == r.Text }) {
			out = append(out, r)
		}
	}
	return out
}

// sortedKeys are a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
