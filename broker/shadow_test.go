package broker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/broker/policy"
)

const drafted = `
permit (principal, action, resource);
@id("no-echo") forbid (principal, action == Action::"desk.echo", resource) when { context.input.text like "x*" };
@id("few") @recent("answered: count desk.slow by principal in 1h")
forbid (principal, action == Action::"desk.slow", resource) when { context.recent.answered >= 2 };`

func draftFiles(text string) []policy.File {
	return []policy.File{{Name: "draft.cedar", Text: []byte(text)}}
}

// What a draft would have decided is on record with each call, and changes nothing.
func TestADraftIsAskedAndChangesNothing(t *testing.T) {
	t.Parallel()
	rig := budgeted(t, t.TempDir(), `permit (principal, action, resource);
@id("never") forbid (principal, action == Action::"desk.fail", resource);`)
	call := func(tool, args string) audit.Decision {
		t.Helper()
		_, err := try(t, rig, "alice", tool, args)
		if (err == nil) != (tool != "fail") {
			t.Fatalf("%s: %v", tool, err)
		}
		var last audit.Decision
		for r, err := range rig.Log.Read(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			e, err := r.Event()
			if err != nil {
				t.Fatal(err)
			}
			if in, err := audit.DataOf[audit.Intent](e); err == nil && e.Type == audit.CallIntent {
				last = in.Decision
			}
			if out, err := audit.DataOf[audit.Outcome](e); err == nil && e.Type == audit.CallDenied {
				last = *out.Decision
			}
		}
		return last
	}
	if d := call("echo", `{"text":"x"}`); d.Shadow != nil {
		t.Errorf("there is no draft: %+v", d.Shadow)
	}
	if found, err := rig.Shadow(t.Context(), draftFiles(drafted)); err != nil {
		t.Fatalf("%v, %v", found, err)
	}
	if d := call("echo", `{"text":"y"}`); d.Shadow == nil || d.Shadow.Effect != audit.Allow || d.Shadow.Reasons != nil {
		t.Errorf("of one mind: %+v", d.Shadow)
	}
	if d := call("echo", `{"text":"xy"}`); d.Effect != audit.Allow || d.Shadow.Effect != audit.Deny || d.Shadow.Reasons[0].Policy != "no-echo" {
		t.Errorf("of two: %+v", d.Shadow)
	}
	if d := call("fail", `{}`); d.Effect != audit.Deny || d.Shadow.Effect != audit.Allow {
		t.Errorf("a denial: %+v", d.Shadow)
	}
	for n := range 3 { // the draft counts by a counter of its own
		want := audit.Allow
		if n == 2 {
			want = audit.Deny
		}
		if d := call("slow", `{"milliseconds":0}`); d.Effect != audit.Allow || d.Shadow.Effect != want {
			t.Errorf("slow call %d: %+v", n, d.Shadow)
		}
	}
	if _, err := rig.Shadow(t.Context(), draftFiles(`permit (principal, action == Action::"desk.echo", resource) when { context.input.txet == "x" };`)); err == nil {
		t.Error("a draft that does not type-check is taken")
	}
	if d := call("echo", `{"text":"xz"}`); d.Shadow == nil || d.Shadow.Effect != audit.Deny {
		t.Errorf("the draft of before does not stay: %+v", d.Shadow)
	}
	if _, err := rig.Shadow(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if d := call("echo", `{"text":"xz"}`); d.Shadow != nil {
		t.Errorf("the draft is gone: %+v", d.Shadow)
	}
	rig.Stop()
	reader, err := embedded.OpenReadOnly(t.Context(), rig.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // only read
	r, err := hindsight.Shadows(t.Context(), reader, hindsight.Options{Examples: 2})
	if err != nil || len(r.Drafts) != 1 || r.Unasked != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	d := r.Drafts[0]
	var said []string
	for _, c := range d.Changes {
		said = append(said, fmt.Sprintf("%s %s %d", c.From, c.To, c.Calls))
	}
	if want := []string{"allowed denied 3", "denied allowed 1"}; d.Calls != 7 || d.Same != 3 || d.Failed != 0 || r.Differs() != 4 || !slices.Equal(said, want) {
		t.Errorf("got %+v, %q", d, said)
	}
	if c := d.Changes[0]; len(c.Examples) != 2 || c.Policies["no-echo"] != 2 || c.Policies["few"] != 1 || c.Tools["desk.slow"] != 1 {
		t.Errorf("got %+v", c)
	}
}
