package main

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/httpapi"
)

// filter is a flag by which history is searched, and a parameter of the API.
type filter struct{ name, value, help string }

func filters() []filter {
	return []filter{
		{"state", "state", "held, running, released or closed"},
		{"agent", "agent", "calls in whose chain this agent acts"},
		{"person", "user", "calls on behalf of this person"},
		{"tool", "tool", "upstream.tool, upstream. or a prefix with *"},
		{"domain", "domain", "calls of this domain"},
		{"outcome", "outcome", "result, failed, denied, expired, cancelled or unknown"},
		{"code", "code", "the exact code of the outcome, such as tool_error"},
		{"policy", "id", "calls that this policy determined"},
		{"approver", "user", "calls that this person approved or denied"},
		{"q", "words", "calls whose texts have these words"},
		{"trace", "id", "calls of this W3C trace"},
		{"session", "id", "calls of this session at the identity provider"},
	}
}

func newHistoryCommand(env *environment) *cobra.Command {
	var since, until, save, saved string
	var arguments []string
	var archives archivesSource
	limit := 50
	c := &cobra.Command{
		Use:   "history",
		Short: "Search the calls that were made",
		Long: `List the calls that one may read, the latest first. All filters given must fit.
Times are RFC 3339 (2026-11-24T03:00:00Z), a day (2026-11-24), or so long ago (90m, 7d).

With --archive the calls are read from archives, which need no broker and have no
arguments.`,
		Example: `  deed history --person alice --outcome denied --since 7d
  deed history --tool payments. --q "4711" --json | jq -r '.items[].call_id'
  deed history --arg amount=150 --arg /order/id=A-7
  deed history --archive /mnt/archive --person alice
  deed history --outcome denied --since 7d --save refusals && deed history --saved refusals`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	for _, f := range filters() {
		flags.String(f.name, "", f.help+" (a `"+f.value+"`)")
	}
	archives.flags(c)
	flags.StringArrayVar(&arguments, "arg", nil, "calls with this argument, `name=value` or /json/pointer=value; may be repeated")
	flags.StringVar(&save, "save", "", "keep this search under a `name`, and run it")
	flags.StringVar(&saved, "saved", "", "run the search that was kept under this `name`; other filters add to it")
	flags.StringVar(&since, "since", "", "calls opened at this `time` or later")
	flags.StringVar(&until, "until", "", "calls opened before this `time`")
	flags.IntVar(&limit, "limit", limit, "how many at most; 0 for all")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 0 {
			return usage("--limit cannot be negative")
		}
		query, err := env.savedQuery(saved)
		if err != nil {
			return err
		}
		for _, f := range filters() {
			if v := flags.Lookup(f.name).Value.String(); v != "" {
				query.Set(f.name, v)
			}
		}
		if len(arguments) > 0 {
			query.Set("arg", strings.Join(arguments, "\n"))
		}
		relative := map[string]string{"since": firstOf(since, query.Get("since")), "until": firstOf(until, query.Get("until"))}
		for name, text := range relative {
			if text != "" {
				query.Set(name, text)
			}
		}
		if save != "" {
			if err := env.saveQuery(save, query); err != nil {
				return err
			}
		}
		for name, text := range relative {
			if err := setTime(query, name, text, time.Now()); err != nil {
				return err
			}
		}
		if len(archives.places) > 0 {
			return env.historyOfArchives(cmd.Context(), archives, query, limit)
		}
		a, err := env.api()
		if err != nil {
			return err
		}
		found, err := a.Calls(cmd.Context(), query, limit)
		if err != nil {
			return err
		}
		return env.printCalls(found)
	}
	return c
}

func (e *environment) printCalls(found []httpapi.CallSummary) error {
	if e.json {
		return e.printJSON(map[string]any{"items": found})
	}
	if len(found) == 0 {
		e.say("no call that you may read fits\n")
		return nil
	}
	now := time.Now()
	t := newTable(e.stdout, "CALL", "OPENED", "TOOL", "FOR", "STATE", "WHY")
	for _, c := range found {
		t.row(plain(c.CallID), when(c.Opened, now), plain(c.Tool), parties(c.Principal, c.Chain), plain(firstOf(c.Outcome, c.State)),
			cut(firstOf(c.Reason, strings.Join(c.Policies, ", ")), 70))
	}
	t.flush()
	return nil
}

// setTime puts a time that people write into a query.
func setTime(query url.Values, name, text string, now time.Time) error {
	if text == "" {
		return nil
	}
	t, err := parseTime(text, now)
	if err != nil {
		return withHint(usage("--%s is not a time: %s", name, plain(text)), "write 2026-11-24T03:00:00Z, 2026-11-24, 90m or 7d")
	}
	query.Set(name, t.UTC().Format(time.RFC3339Nano))
	return nil
}

func parseTime(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, now.Location()); err == nil {
		return t, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days+"!", "%d!", &n); err == nil && n > 0 && n < 100_000 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return time.Time{}, fmt.Errorf("not a time: %q", text)
	}
	return now.Add(-d), nil
}

func newShowCommand(env *environment) *cobra.Command {
	var archives archivesSource
	c := &cobra.Command{
		Use:   "show CALL",
		Short: "Show all that is known of a call",
		Long: `Show a call: who, what, with which arguments, what was decided, what came of it. With
--archive it is read from archives, which need no broker and have no arguments.`,
		Example: `  deed show 019ab2c4-… --as carol
  deed show 019ab2c4-… --archive /mnt/archive`,
		Args: cobra.ExactArgs(1),
	}
	archives.flags(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(archives.places) > 0 {
			return env.showOfArchives(cmd.Context(), archives, args[0])
		}
		a, err := env.api()
		if err != nil {
			return err
		}
		call, err := a.Call(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(call)
		}
		env.printDetail(call)
		return nil
	}
	return c
}

func (e *environment) printDetail(c httpapi.CallDetail) {
	e.describe(c.HeldCall)
	e.printf("state     %s\n", stateWords(c.CallSummary))
	if !c.Closed.IsZero() {
		e.printf("closed    %s\n", when(c.Closed, time.Now()))
	}
	if c.Trace != "" {
		e.printf("trace     %s\n", plain(c.Trace))
	}
	for _, s := range c.Secrets.Output {
		e.printf("SECRET    %d × %s in what the tool answered\n", s.N, plain(s.Rule))
	}
	switch {
	case c.Withheld.Output != "":
		e.printf("result    %s\n", plain(c.Withheld.Output))
	case c.Erased.Output:
		e.printf("result    has been erased\n")
	case len(c.Output) > 0:
		e.printf("result\n%s\n", indent(prettyJSON(c.Output)))
	}
	if r := c.Reconciled; r != nil {
		e.printf("%s says that it %s. %s\n", plain(r.By), happenedWords(r.Happened), plain(r.Note))
	}
	for i, event := range c.Events {
		if i == 0 {
			e.printf("events\n")
		}
		e.printf("  %s\n", plain(event.Position))
	}
}

func newAgentsCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "agents",
		Short:   "List the agents that have called",
		Example: `  deed agents --as carol`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := env.api()
			if err != nil {
				return err
			}
			agents, err := a.Agents(cmd.Context())
			if err != nil {
				return err
			}
			if env.json {
				return env.printJSON(map[string]any{"items": agents})
			}
			if len(agents) == 0 {
				env.say("no agent that you may read about has called\n")
				return nil
			}
			t := newTable(env.stdout, "AGENT", "OWNER", "CALLS", "DENIED", "HELD", "LAST", "FOR", "TOOLS")
			for _, x := range agents {
				t.row(plain(x.Agent), ownerWords(x), fmt.Sprint(x.Calls), fmt.Sprint(x.Denied), fmt.Sprint(x.Held), when(x.Last, time.Now()),
					cut(joined(x.Principals), 40), cut(joined(x.Tools), 60))
			}
			t.flush()
			return nil
		},
	}
}

// ownerWords says who answers for an agent, or why that is no question any more.
func ownerWords(a httpapi.Agent) string {
	switch {
	case a.Revocation != "":
		return "REVOKED"
	case !a.Registered:
		return "(not registered)"
	default:
		return plain(firstOf(a.Owner, "(nobody)"))
	}
}
