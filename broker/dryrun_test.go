package broker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const editPolicies = policies + `
@id("edits-wait") @approvers("lead") @expires("15m")
forbid (principal, action in [Action::"desk.edit", Action::"desk.plain"], resource) unless { context.approvals.count >= 1 };
`

// editor is a rig with a tool that edits, and can be run dry.
type editor struct {
	*brokertest.Rig
	edits, looks atomic.Int64
	unreadable   atomic.Bool // the log takes no reads
}

func newEditor(t *testing.T) *editor {
	t.Helper()
	e := &editor{}
	fake := toolstest.NewFake()
	run := func(_ context.Context, c tools.Call) (tools.Answer, error) {
		var args struct {
			Text string `json:"text"`
			Dry  bool   `json:"dryRun"`
		}
		if err := json.Unmarshal(c.Arguments, &args); err != nil {
			return tools.Answer{}, err
		}
		if args.Dry {
			e.looks.Add(1)
			return toolstest.Text("@@ -1 +1 @@\n-old\n+" + args.Text), nil
		}
		e.edits.Add(1)
		return toolstest.Text("edited"), nil
	}
	fake.Handle(toolstest.Define("edit", `{"text":{"type":"string"},"dryRun":{"type":"boolean"}}`), run)
	fake.Handle(toolstest.Define("plain", `{"text":{"type":"string"}}`), run)
	e.Rig = brokertest.Start(t, brokertest.Options{
		Policies: editPolicies, HoldWait: 10 * time.Millisecond, Upstreams: map[string]tools.Upstream{"desk": fake},
		Wrap: func(l audit.Log) audit.Log { return &unread{Log: l, now: &e.unreadable} },
		DryRuns: map[string]broker.DryRun{
			"desk.edit":  {Arguments: map[string]json.RawMessage{"dryRun": json.RawMessage(`true`)}},
			"desk.plain": {Arguments: map[string]json.RawMessage{"dryRun": json.RawMessage(`true`)}},
			"desk.echo":  {Tool: "desk.edit", Keep: []string{}},
		},
	})
	return e
}

// unread is a log that takes no reads on record while it is so.
type unread struct {
	audit.Log
	now *atomic.Bool
}

func (u *unread) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	if u.now.Load() && e.Type == audit.HistoryRead {
		return audit.Position{}, audit.ErrUnavailable
	}
	return u.Log.Append(ctx, e)
}

// held makes a call that waits, and gives its id and digest.
func (e *editor) held(t *testing.T, tool, text string) (id, digest string) {
	t.Helper()
	reply, err := e.Call(t.Context(), call(copilot, tool, fmt.Sprintf(`{"text":%q}`, text)))
	if err != nil || reply.Pending == nil {
		t.Fatalf("the call is not held: %+v, %v", reply, err)
	}
	h, err := e.Held(t.Context(), bob, reply.CallID)
	if err != nil {
		t.Fatal(err)
	}
	return reply.CallID, h.Digest()
}

func TestADryRunTellsWhatACallWouldChangeAndChangesNothing(t *testing.T) {
	t.Parallel()
	e := newEditor(t)
	id, digest := e.held(t, "desk.edit", "new")
	if h, err := e.Held(t.Context(), bob, id); err != nil || !h.DryRun {
		t.Errorf("bob is not told that it can be run dry: %v", err)
	}
	for n := range int64(2) {
		f, err := e.Forecast(t.Context(), bob, id, digest)
		if err != nil {
			t.Fatal(err)
		}
		if want := "@@ -1 +1 @@\n-old\n+new"; f.Text != want || f.Failed || f.Truncated || string(f.Arguments) != `{"dryRun":true,"text":"new"}` {
			t.Errorf("the dry run told %+v", f)
		}
		if got := e.reads(t, id); got != n+1 {
			t.Errorf("%d looks are on record, want %d", got, n+1)
		}
	}
	wantTypes(t, e.Rig, id, audit.CallIntent)
	if e.edits.Load() != 0 || e.looks.Load() != 2 {
		t.Errorf("it was edited %d times, and looked at %d times", e.edits.Load(), e.looks.Load())
	}
	verified(t, e.Log, "after dry runs")
}

func TestADryRunIsForThoseWhoDecideAndOnlyWhileTheyCan(t *testing.T) {
	t.Parallel()
	e := newEditor(t)
	id, digest := e.held(t, "desk.edit", "new")
	for name, who := range map[string]*agents.Identity{"an agent": copilot, "its person": alice, "a stranger": carol, "an agent for a lead": brokertest.Through(bob, "copilot"), "nobody": nil} {
		_, err := e.Forecast(t.Context(), who, id, digest)
		if kind := broker.AsError(err).Kind; err == nil || kind != broker.Denied && kind != broker.NotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := e.Forecast(t.Context(), bob, id, strings.Repeat("0", 64))
	wantKind(t, err, broker.Conflict)
	_, err = e.Forecast(t.Context(), bob, "unknown", digest)
	wantKind(t, err, broker.NotFound)
	e.unreadable.Store(true)
	_, err = e.Forecast(t.Context(), bob, id, digest)
	wantKind(t, err, broker.LogUnavailable)
	e.unreadable.Store(false)
	_, err = e.Vote(t.Context(), broker.Vote{Identity: bob, CallID: id, Verdict: audit.Reject, Digest: digest, Reason: "no"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Forecast(t.Context(), bob, id, digest)
	wantKind(t, err, broker.Conflict)
	if e.looks.Load() != 0 || e.edits.Load() != 0 {
		t.Errorf("the upstream was reached: %d looks, %d edits", e.looks.Load(), e.edits.Load())
	}
}

// A tool that does not know the argument which keeps it from acting would act, as would one
// that does more than read.
func TestADryRunThatCouldActIsNotRun(t *testing.T) {
	t.Parallel()
	e := newEditor(t)
	id, digest := e.held(t, "desk.plain", "new")
	_, err := e.Forecast(t.Context(), bob, id, digest)
	if r := refusal(t, err, broker.Conflict); !strings.Contains(r.Public, "desk.plain has no argument dryRun, and might act") {
		t.Errorf("refused by %q", r.Public)
	}
	id, digest = e.held(t, "desk.echo", "ask first")
	_, err = e.Forecast(t.Context(), bob, id, digest)
	if r := refusal(t, err, broker.Conflict); !strings.Contains(r.Public, "does not say that it only reads") {
		t.Errorf("refused by %q", r.Public)
	}
	if e.looks.Load() != 0 || e.edits.Load() != 0 {
		t.Errorf("the upstream was reached: %d looks, %d edits", e.looks.Load(), e.edits.Load())
	}
}

// reads is how many dry runs of a call are on record.
func (e *editor) reads(t *testing.T, id string) (n int64) {
	t.Helper()
	sizes, err := e.Log.Sizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for log := range maps.Keys(sizes) {
		for i := range sizes[log] {
			r, err := e.Log.Record(t.Context(), audit.Position{Log: log, Index: i})
			if err != nil {
				t.Fatal(err)
			}
			event, err := r.Event()
			if err != nil {
				t.Fatal(err)
			}
			if event.Type != audit.HistoryRead {
				continue
			}
			if read, err := audit.DataOf[audit.Reading](event); err == nil && read.What == audit.ReadDryRun && read.Call == id && read.By.Principal == "bob" && read.For == "desk.edit" {
				n++
			}
		}
	}
	return n
}
