package console_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/cmd/testbed/need"
	"github.com/deedbroker/deed/tools/files"
	"github.com/deedbroker/deed/tools/upstream"
)

const filePolicies = policies + `
permit (principal, action in [Action::"files", Action::"official"], resource);
@id("look-before-writing") @approvers("lead") @expires("15m") @reason("Somebody has to see what changes.")
forbid (principal, action in [Action::"files.write_file", Action::"official.edit_file"], resource) unless { context.approvals.count >= 1 };
`

// What a call would change in a file is found out before it is approved, from Deed's own
// files and from the official server, and changes nothing.
func TestAPersonSeesWhatACallWouldChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "prices.txt")
	const trap = "\u202e<img src=x onerror=hurt()>"
	before := strings.Repeat("the same\n", 40) + "lamp: 10 EUR\n" + trap + "\n" + strings.Repeat("and the same\n", 40)
	must(t, os.WriteFile(path, []byte(before), 0o600))
	own, err := files.Open(dir, files.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, own.Close()) })
	official, err := upstream.NewStdio(upstream.StdioConfig{Command: need.Env(t, need.Node), Args: []string{need.Env(t, need.MCPFilesystem), dir}})
	must(t, err)
	s := startWith(t, func(o *brokertest.Options) {
		o.Policies = filePolicies
		o.Upstreams["files"], o.Upstreams["official"] = own, official
		o.DryRuns = map[string]broker.DryRun{
			"files.write_file":   {Tool: "files.read_file", Keep: []string{"path"}, Against: "content"},
			"official.edit_file": {Arguments: map[string]json.RawMessage{"dryRun": json.RawMessage("true")}},
		}
	})
	b := openBrowser(t)
	b.login(s, "bob")
	ask := func(tool string, args any) string {
		t.Helper()
		raw, err := json.Marshal(args)
		must(t, err)
		reply, err := s.rig.Call(t.Context(), broker.Request{Identity: copilot, Tool: tool, Arguments: raw})
		must(t, err)
		if reply.Pending == nil {
			t.Fatalf("%s was not held: %s", tool, reply.Answer.Raw)
		}
		return reply.CallID
	}
	find := func(id string) {
		t.Helper()
		b.do(chromedp.Click(`[data-call="` + id + `"] .foresee`))
		b.until(`document.querySelector('[data-call="` + id + `"] .diff-lines .new') !== null`)
	}
	diff := func(id string) string { return diffOf(b, id) }

	written := ask("files.write_file", map[string]string{"path": "prices.txt", "content": strings.Replace(before, "10 EUR", "1000 EUR", 1)})
	edited := ask("official.edit_file", map[string]any{"path": path, "edits": []map[string]string{{"oldText": "lamp: 10 EUR", "newText": "lamp: 99 EUR"}}})
	fresh := ask("files.write_file", map[string]string{"path": "new.txt", "content": "first line\nsecond"})
	b.until("document.querySelectorAll('.card').length === 3")
	find(written)
	if got := diff(written); !strings.Contains(got, "was|lamp: 10 EUR") || !strings.Contains(got, "now|lamp: 1000 EUR") || !strings.Contains(got, "…|37 lines as before") || strings.Count(got, "\n") > 12 {
		t.Errorf("what is written changes:\n%s", got)
	}
	find(edited)
	if got := diff(edited); !strings.Contains(got, "was|-lamp: 10 EUR") || !strings.Contains(got, "now|+lamp: 99 EUR") {
		t.Errorf("what is edited changes:\n%s", got)
	}
	find(fresh)
	b.sees("there is no such file or directory")
	if got := diff(fresh); !strings.Contains(got, "now|first line") {
		t.Errorf("what is new:\n%s", got)
	}
	b.look("forecast")
	b.harmless("dry runs")
	if got, err := os.ReadFile(path); err != nil || string(got) != before {
		t.Errorf("a dry run has changed the file: %v", err)
	}

	b.rest()
	b.do(chromedp.Focus(`[data-call="` + written + `"]`))
	b.press("w") // by the keyboard, once more
	b.until(`document.querySelector('[data-call="` + written + `"] .foresee').textContent === 'Find out again'`)
	b.rest()
	b.press("a")
	b.sees("with exactly the arguments above?")
	b.rest()
	b.press("y")
	s.decided(written)
	if got, err := os.ReadFile(path); err != nil || !strings.Contains(string(got), "1000 EUR") {
		t.Errorf("what was approved was not written: %v", err)
	}
}

// diffOf are the lines of a card's diff, each after its word.
func diffOf(b *browser, id string) string {
	b.t.Helper()
	return ask[string](b, `[...document.querySelectorAll('[data-call="`+id+`"] .forecast .line')].map((l) => l.querySelector('.what').textContent + '|' + l.querySelector('code').textContent).join('\n')`)
}
