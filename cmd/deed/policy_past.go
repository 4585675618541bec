package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/broker/policy"
)

// pastFlags name a history and a period of it.
type pastFlags struct {
	config, data, since, until string
	policies                   []string
}

func (f *pastFlags) add(c *cobra.Command, policies string) {
	f.addHistory(c)
	c.Flags().StringArrayVar(&f.policies, "policy", nil, policies)
}

// addHistory adds those that name no policies.
func (f *pastFlags) addHistory(c *cobra.Command) {
	configFlag(c, &f.config)
	flags := c.Flags()
	flags.StringVar(&f.data, "data", "", "a data `directory` or evidence pack in place of a configuration's")
	flags.StringVar(&f.since, "since", "", "only calls opened at this `time` or later")
	flags.StringVar(&f.until, "until", "", "only calls opened before this `time`")
	c.MarkFlagsMutuallyExclusive("config", "data")
}

// past is a history with what policies need to know to be asked about it.
type past struct {
	source
	set     *policy.Set
	options hindsight.Options
}

// open opens the history and compiles the policies: those named, or the ones that
// were put in force last.
func (f *pastFlags) open(ctx context.Context, e *environment) (*past, error) {
	p := &past{}
	if err := f.period(&p.options); err != nil {
		return nil, err
	}
	var domains map[string]string
	var options policy.Options
	data := f.data
	if data == "" {
		cfg, err := loadConfig(f.config)
		if err != nil {
			return nil, err
		}
		data, options.DefaultHold = cfg.Data, cfg.Holds.Expires.Duration
		domains = domainsOf(cfg)
	}
	var err error
	if p.source, err = e.openSource(ctx, []string{data}); err != nil {
		return nil, err
	}
	if p.set, err = f.compile(ctx, e, p.source, domains, options); err != nil {
		_ = p.Close() // it was only read
		return nil, err
	}
	return p, nil
}

func (f *pastFlags) period(o *hindsight.Options) error {
	now := time.Now()
	for name, t := range map[string]*time.Time{"since": &o.Since, "until": &o.Until} {
		text := map[string]string{"since": f.since, "until": f.until}[name]
		if text == "" {
			continue
		}
		at, err := parseTime(text, now)
		if err != nil {
			return withHint(usage("--%s is not a time: %s", name, plain(text)), "write 2026-11-24T03:00:00Z, 2026-11-24, 90m or 7d")
		}
		*t = at.UTC()
	}
	return nil
}

func domainsOf(cfg *config.Config) map[string]string {
	domains := map[string]string{}
	for name, u := range cfg.Upstreams {
		domains[name] = u.Domain
	}
	return domains
}

func (f *pastFlags) compile(ctx context.Context, e *environment, from hindsight.History, domains map[string]string, o policy.Options) (*policy.Set, error) {
	tools, err := hindsight.Tools(ctx, from, domains)
	if err != nil {
		return nil, err
	}
	var files []policy.File
	if len(f.policies) > 0 {
		files, err = policy.Load(policyGlobs(f.policies), "")
	} else {
		files, err = hindsight.LastPolicies(ctx, from)
	}
	if err != nil {
		return nil, usage("%w", err)
	}
	if len(files) == 0 {
		return nil, withHint(usage("the history says of no policies that they were in force"), "name some by --policy")
	}
	set, findings := policy.Compile(files, tools, o)
	for _, finding := range findings {
		if finding.Severity != policy.Warning || len(f.policies) > 0 {
			e.say("%s\n", plain(finding.String()))
		}
	}
	if set == nil {
		return nil, usage("the policies do not fit the tools")
	}
	return set, nil
}

// policyGlobs lets a directory stand for the policies in it.
func policyGlobs(paths []string) []string {
	var globs []string
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			p = filepath.Join(p, "*.cedar")
		}
		globs = append(globs, p)
	}
	return globs
}

const pastLong = `The history is that of the configuration's data directory, of --data, or of an evidence
pack; its broker may be running.`

func newPolicyReplayCommand(env *environment) *cobra.Command {
	var f pastFlags
	var failOn []string
	examples := 3
	c := &cobra.Command{
		Use:   "replay",
		Short: "Show what other policies would have done to past calls",
		Long: `Decide past calls again, with the identities, arguments, times and approvals of then, by a
draft of the policies, and show what would newly have been denied, held or allowed. Without
--policy it is the policies put in force last that are asked, about all that came before.

` + pastLong + `

The exit code is 1 if a call would newly have had one of the fates of --fail-on.`,
		Example: `  deed policy replay -c deed.yaml --policy draft/ --since 7d
  deed policy replay --data evidence.zip --policy draft/payments.cedar --json
  deed policy replay -c deed.yaml --policy draft/ --fail-on denied,held   # for CI`,
		Args: cobra.NoArgs,
	}
	f.add(c, "the draft: a `path` of a file or directory, or a glob; may be repeated")
	c.Flags().IntVar(&examples, "examples", examples, "how many calls of each change are shown")
	c.Flags().StringSliceVar(&failOn, "fail-on", []string{"denied", "held", "allowed"}, "`fates` that end with exit code 1, or none")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, fate := range failOn {
			if !slices.Contains([]string{"denied", "held", "allowed", "none"}, fate) {
				return usage("--fail-on takes denied, held, allowed or none")
			}
		}
		p, err := f.open(cmd.Context(), env)
		if err != nil {
			return err
		}
		defer func() { _ = p.Close() }() // it was only read
		p.options.Examples = max(0, examples)
		report, err := hindsight.Replay(cmd.Context(), p.source, p.set, p.options)
		if err != nil {
			return err
		}
		if env.json {
			if err := env.printJSON(report); err != nil {
				return err
			}
		} else {
			env.printReplay(report)
		}
		return env.ended(failures(newly(report, failOn)))
	}
	return c
}

func newly(r *hindsight.Report, fates []string) int {
	n := 0
	for _, fate := range fates {
		switch fate {
		case "denied":
			n += r.Newly(hindsight.Denied)
		case "held":
			n += r.Newly(hindsight.Held) + r.Newly(hindsight.Approved)
		case "allowed":
			n += r.Newly(hindsight.Allowed)
		}
	}
	return n
}

func (e *environment) printReplay(r *hindsight.Report) {
	e.printChanges(r.Changes, "would have been")
	rate := ""
	if s := r.Duration.Seconds(); s > 0 {
		rate = fmt.Sprintf(" in %s", r.Duration.Round(time.Millisecond))
	}
	e.printf("%d calls decided again%s: %d as they were, %d newly denied, %d newly held, %d newly allowed\n", r.Calls, rate, r.Same,
		r.Newly(hindsight.Denied), r.Newly(hindsight.Held)+r.Newly(hindsight.Approved), r.Newly(hindsight.Allowed))
	for _, why := range sortedKeys(r.Skipped) {
		e.printf("not decided again: %d calls, %s\n", r.Skipped[why], plain(why))
	}
}

func (e *environment) printChanges(changes []hindsight.Change, would string) {
	now := time.Now()
	for _, c := range changes {
		e.printf("%d calls were %s and %s %s, by %s\n", c.Calls, c.From, would, c.To, plain(counted(c.Policies)))
		t := newTable(e.stdout)
		for _, x := range c.Examples {
			t.row("  "+plain(x.CallID), when(x.Opened, now), plain(x.Tool), parties(x.Principal, x.Agents), cut(strings.Join(append(reasonTexts(x), x.Errors...), "; "), 90))
		}
		t.flush()
	}
}

func reasonTexts(x hindsight.Example) []string {
	var texts []string
	for _, r := range x.Reasons {
		if r.Effect == "permit" {
			continue
		}
		text := firstOf(r.Text, r.Policy, "no policy permits it to "+r.Link)
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// counted lists names with their counts, the most frequent first.
func counted(counts map[string]int) string {
	names := sortedKeys(counts)
	slices.SortStableFunc(names, func(a, b string) int { return counts[b] - counts[a] })
	for i, n := range names {
		names[i] = fmt.Sprintf("%s (%d)", n, counts[n])
	}
	return strings.Join(names, ", ")
}

func newPolicySuggestCommand(env *environment) *cobra.Command {
	var f pastFlags
	var bounds bool
	c := &cobra.Command{
		Use:   "suggest",
		Short: "Draft least-privilege policies from what agents did",
		Long: `Write policies that permit what was permitted and done, to the agents and roles that did it, and
little more; what the policies in force forbid or hold stays so. They are a draft to be read: what
was never done is not in them, and what was done by mistake is. They are compiled and asked
about the same calls before they are shown.

` + pastLong,
		Example: `  deed policy suggest -c deed.yaml --since 30d > draft/least.cedar
  deed policy suggest --data /var/lib/deed --bounds`,
		Args: cobra.NoArgs,
	}
	f.add(c, "policies in force, where the history does not say: a `path` of a file or directory; may be repeated")
	c.Flags().BoolVar(&bounds, "bounds", false, "also forbid arguments beyond those seen: ranges of numbers, few texts")
	c.RunE = func(cmd *cobra.Command, _ []string) error { return env.suggest(cmd.Context(), f, bounds) }
	return c
}

func (e *environment) suggest(ctx context.Context, f pastFlags, bounds bool) error {
	p, err := f.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // it was only read
	s, err := hindsight.Suggest(ctx, p.source, p.set, p.options, bounds)
	if err != nil {
		return err
	}
	if s.Calls == 0 {
		return usage("no call was permitted in that time: there is nothing to draft from")
	}
	tools, err := hindsight.Tools(ctx, p.source, nil)
	if err != nil {
		return err
	}
	set, findings := policy.Compile([]policy.File{{Name: "suggested.cedar", Text: []byte(s.Text)}}, tools, policy.Options{})
	if set == nil {
		return fmt.Errorf("the draft does not compile: %w", findings.Err())
	}
	report, err := hindsight.Replay(ctx, p.source, set, p.options)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(map[string]any{"text": s.Text, "calls": s.Calls, "replay": report})
	}
	e.printf("%s", s.Text)
	e.say("by this draft %d of %d calls would have been decided as they were; %d newly denied, %d newly allowed\n",
		report.Same, report.Calls, report.Newly(hindsight.Denied), report.Newly(hindsight.Allowed))
	return nil
}

func newPolicyAccessCommand(env *environment) *cobra.Command {
	var f pastFlags
	var unused bool
	c := &cobra.Command{
		Use:   "access",
		Short: "Compare what is granted with what is used: an access review",
		Long: `List, for each person and chain of agents that called, which tools the policies grant them (with
some arguments, at worst after approvals), how often each was called, and when last.
Without --policy it is the policies put in force last.

` + pastLong,
		Example: `  deed policy access -c deed.yaml --since 90d --unused
  deed policy access --data /var/lib/deed --json`,
		Args: cobra.NoArgs,
	}
	f.add(c, "policies other than those in force: a `path` of a file or directory; may be repeated")
	c.Flags().BoolVar(&unused, "unused", false, "only what is granted and was not used")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := f.open(cmd.Context(), env)
		if err != nil {
			return err
		}
		defer func() { _ = p.Close() }() // it was only read
		list, err := hindsight.Review(cmd.Context(), p.source, p.set, p.options)
		if err != nil {
			return err
		}
		for i := range list {
			list[i].Granted = slices.DeleteFunc(list[i].Granted, func(g hindsight.Grant) bool { return unused && (!g.Granted || g.Calls > 0) })
		}
		if env.json {
			return env.printJSON(map[string]any{"items": list})
		}
		env.printAccess(list)
		return nil
	}
	return c
}

func (e *environment) printAccess(list []hindsight.Access) {
	now := time.Now()
	t := newTable(e.stdout, "FOR", "ROLES", "TOOL", "GRANTED", "CALLS", "DENIED", "LAST")
	for _, a := range list {
		for _, g := range a.Granted {
			granted := "no"
			if g.Granted {
				granted = "yes"
			}
			t.row(parties(a.Principal, a.Agents), cut(joined(a.Roles), 30), plain(g.Tool), granted, fmt.Sprint(g.Calls), fmt.Sprint(g.Denied), when(g.Last, now))
		}
	}
	t.flush()
}
