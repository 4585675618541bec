package evidence

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/broker/policy"
)

// Files are the files for an auditor by a framework, and what the README says of them.
func Files(ctx context.Context, from hindsight.History, name string, o hindsight.Options) (files []pack.File, readme string, err error) {
	f, ok := frameworks[name]
	if !ok {
		return nil, "", fmt.Errorf("make evidence: there is no mapping for %q", name)
	}
	figures, err := count(ctx, from, o)
	if err != nil {
		return nil, "", fmt.Errorf("make evidence: %w", err)
	}
	files = []pack.File{{Name: "controls.md", Body: f.document()}, {Name: "figures.md", Body: figures}}
	history, err := hindsight.Activations(ctx, from)
	if err != nil {
		return nil, "", fmt.Errorf("make evidence: %w", err)
	}
	for n, a := range history {
		for _, p := range a.Files {
			base := p.Name[strings.LastIndexByte(p.Name, '/')+1:]
			files = append(files, pack.File{Name: fmt.Sprintf("policies/%03d-%s/%s", n+1, a.At.UTC().Format("20060102T150405Z"), base), Body: p.Text})
		}
	}
	access, err := review(ctx, from, o)
	if err != nil {
		return nil, "", fmt.Errorf("make evidence: %w", err)
	}
	if access != nil {
		files = append(files, pack.File{Name: "access.csv", Body: access})
	}
	return files, "# Evidence for " + f.title + "\n\nStart with `controls.md`, which says what in this archive speaks to which control, and `figures.md`.\n" +
		"`policies/` has every set of policies that was in force, and `access.csv` what the last of them grants\nagainst what was used. The records prove; the rest explains.\n\n", nil
}

func (f framework) document() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Controls: %s\n\nWhat in this archive speaks to which control. Whether a control is met is the auditor's judgement.\n\n| control | about | evidence |\n|---|---|---|\n", f.title)
	for _, c := range f.controls {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.id, c.title, c.evidence)
	}
	return b.Bytes()
}

// count makes the figures of a period.
func count(ctx context.Context, from hindsight.History, o hindsight.Options) ([]byte, error) {
	total, outcomes, tools, people, agents := 0, map[string]int{}, map[string]int{}, map[string]bool{}, map[string]bool{}
	held, approved, reconciled := 0, 0, 0
	err := hindsight.Each(ctx, from, o, func(c *calls.Call) error {
		total++
		outcome := c.State.String()
		if c.State == calls.Closed {
			outcome = c.Closing.Type.Word() + " (" + c.Outcome.Code + ")"
		}
		outcomes[outcome]++
		tools[c.Intent.Tool]++
		people[c.Intent.Identity.Principal] = true
		for _, a := range c.Intent.Identity.Chain {
			agents[a.ID] = true
		}
		if c.Intent.Decision.Expires != nil {
			held++
		}
		if c.Releasing.ID != "" {
			approved++
		}
		if c.Reconciled != nil {
			reconciled++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Figures of the period\n\n%d calls by %d agents for %d people. %d were held for people, of which %d were approved. %d were reconciled.\n", total, len(agents), len(people), held, approved, reconciled)
	for _, t := range []struct {
		head   string
		counts map[string]int
	}{{"how they ended", outcomes}, {"tool", tools}} {
		fmt.Fprintf(&b, "\n| %s | calls |\n|---|---|\n", t.head)
		for _, name := range slices.Sorted(maps.Keys(t.counts)) {
			fmt.Fprintf(&b, "| %s | %d |\n", strings.NewReplacer("|", `\|`, "\n", " ").Replace(name), t.counts[name])
		}
	}
	return b.Bytes(), nil
}

// review is the access review as a table; nil if the history says of no policies.
func review(ctx context.Context, from hindsight.History, o hindsight.Options) ([]byte, error) {
	files, err := hindsight.LastPolicies(ctx, from)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	known, err := hindsight.Tools(ctx, from, nil)
	if err != nil {
		return nil, err
	}
	set, found := policy.Compile(files, known, policy.Options{MayQuarantine: func(string) bool { return true }})
	if set == nil {
		return nil, found.Err()
	}
	list, err := hindsight.Review(ctx, from, set, o)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"person", "agents", "roles", "tool", "granted", "calls", "denied", "last"}}
	for _, a := range list {
		for _, g := range a.Granted {
			last := ""
			if !g.Last.IsZero() {
				last = g.Last.UTC().Format(time.RFC3339)
			}
			rows = append(rows, []string{
				safe(a.Principal), safe(strings.Join(a.Agents, " ")), safe(strings.Join(a.Roles, " ")), safe(g.Tool),
				strconv.FormatBool(g.Granted), strconv.Itoa(g.Calls), strconv.Itoa(g.Denied), last,
			})
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// safe keeps spreadsheets from computing what a stranger wrote.
func safe(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}
