package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

const policies = `
permit (principal in Role::"support", action in Action::"desk", resource);
permit (principal == Agent::"copilot", action in Action::"desk", resource);

@id("no-secrets") @reason("Secrets stay here.")
forbid (principal, action == Action::"desk.echo", resource) when { context.input.text == "secret" };

@id("ask-a-lead") @approvers("lead") @expires("15m") @reason("Somebody has to look.")
forbid (principal, action == Action::"desk.echo", resource)
when { context.input.text like "ask*" } unless { context.approvals.count >= 1 };

@id("ask-two") @approvers("lead") @expires("15m")
forbid (principal, action == Action::"desk.echo", resource)
when { context.input.text like "ask two*" } unless { context.approvals.count >= 2 };

@id("short") @approvers("lead") @expires("1s")
forbid (principal, action == Action::"desk.echo", resource)
when { context.input.text like "soon*" } unless { context.approvals.count >= 1 };

permit (principal in Role::"lead", action in [Action::"approve", Action::"read", Action::"review"], resource);
permit (principal, action == Action::"approve", resource) when { resource.principal == principal };
@id("four-eyes")
forbid (principal, action == Action::"approve", resource) when { resource.principal == principal };
`

var (
	alice   = brokertest.Person("alice", "support", "lead")
	bob     = brokertest.Person("bob", "lead")
	dave    = brokertest.Person("dave", "lead")
	carol   = brokertest.Person("carol", "auditor")
	copilot = brokertest.Through(alice, "copilot")
)

func start(t *testing.T, o brokertest.Options) (*brokertest.Rig, *toolstest.Fake) {
	t.Helper()
	fake := toolstest.NewFake()
	if o.Policies == "" {
		o.Policies = policies
	}
	if o.HoldWait == 0 {
		o.HoldWait = 10 * time.Millisecond
	}
	o.Upstreams = map[string]tools.Upstream{"desk": fake}
	return brokertest.Start(t, o), fake
}

func call(id *agents.Identity, tool, args string) broker.Request {
	return broker.Request{Identity: id, Tool: tool, Arguments: []byte(args)}
}

func echo(text string) broker.Request {
	args, _ := json.Marshal(map[string]string{"text": text})
	return call(copilot, "desk.echo", string(args))
}

func wantKind(t *testing.T, err error, want broker.Kind) {
	t.Helper()
	_ = refusal(t, err, want)
}

// refusal is the error of the wanted kind.
func refusal(t *testing.T, err error, want broker.Kind) *broker.Error {
	t.Helper()
	e, ok := errors.AsType[*broker.Error](err)
	if !ok {
		t.Fatalf("error is %v, want one of kind %s", err, want)
	}
	if e.Kind != want {
		t.Fatalf("error is %v, want kind %s", e, want)
	}
	return e
}

func wantTypes(t *testing.T, rig *brokertest.Rig, callID string, want ...audit.Type) {
	t.Helper()
	if diff := cmp.Diff(want, rig.Types(t, callID)); diff != "" {
		t.Errorf("events of the call (-want +got):\n%s", diff)
	}
}

func TestAnAllowedCallIsIntendedRunAndRecorded(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	reply, err := rig.Call(t.Context(), echo("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(reply.Answer.Raw), "hello") {
		t.Errorf("answer is %s", reply.Answer.Raw)
	}
	wantTypes(t, rig, reply.CallID, audit.CallIntent, audit.CallResult)
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("the tool ran %d times", n)
	}
	in, err := audit.DataOf[audit.Intent](rig.Events(t, reply.CallID)[0])
	if err != nil {
		t.Fatal(err)
	}
	if in.Identity.Principal != "alice" || in.Identity.Chain[0].ID != "copilot" {
		t.Errorf("intent is of %+v", in.Identity)
	}
}

//nolint:tparallel // the subtests share a tool, which is looked at after the last of them
func TestRefusalsAreRecordedAndNothingRuns(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	tests := map[string]struct {
		request broker.Request
		kind    broker.Kind
		code    string
		says    string
	}{
		"forbidden by a policy": {echo("secret"), broker.Denied, audit.CodePolicy, "no-secrets: Secrets stay here"},
		"agent not permitted":   {call(brokertest.Through(alice, "stranger"), "desk.echo", `{"text":"x"}`), broker.Denied, audit.CodePolicy, `Agent::"stranger"`},
		"person not permitted":  {call(brokertest.Through(carol, "copilot"), "desk.echo", `{"text":"x"}`), broker.Denied, audit.CodePolicy, `User::"carol"`},
		"one link of many":      {call(brokertest.Through(alice, "copilot", "stranger"), "desk.echo", `{"text":"x"}`), broker.Denied, audit.CodePolicy, `Agent::"stranger"`},
		"missing argument":      {call(copilot, "desk.echo", `{}`), broker.Invalid, audit.CodeInvalidArguments, "text"},
		"argument twice":        {call(copilot, "desk.echo", `{"text":"a","text":"b"}`), broker.Invalid, audit.CodeInvalidArguments, "text"},
		"not an object":         {call(copilot, "desk.echo", `[1]`), broker.Invalid, audit.CodeInvalidArguments, "object"},
		"unknown tool":          {call(copilot, "desk.nothing", `{}`), broker.NotFound, audit.CodeUnknownTool, "no such tool"},
		"case variant":          {call(copilot, "desk.ECHO", `{"text":"x"}`), broker.NotFound, audit.CodeUnknownTool, "no such tool"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := rig.Call(t.Context(), tt.request)
			e := refusal(t, err, tt.kind)
			if !strings.Contains(e.Public, tt.says) {
				t.Errorf("the agent is told %q, want something of %q", e.Public, tt.says)
			}
			wantTypes(t, rig, e.CallID, audit.CallDenied)
			out, err := audit.DataOf[audit.Outcome](rig.Events(t, e.CallID)[0])
			if err != nil {
				t.Fatal(err)
			}
			if out.Code != tt.code || out.Request == nil || out.Request.Identity.Principal == "" {
				t.Errorf("recorded is %+v", out)
			}
		})
	}
	if n := len(fake.Calls()); n != 0 {
		t.Errorf("the tool ran %d times", n)
	}
}

//nolint:tparallel // the subtests share a tool, which the last of them breaks
func TestWhatAToolDoesDecidesTheOutcome(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Timeout: 50 * time.Millisecond})
	tests := map[string]struct {
		tool string
		kind broker.Kind // Internal: no error
		want audit.Type
	}{
		"the tool's own error":   {"desk.fail", broker.Internal, audit.CallFailed},
		"the upstream's refusal": {"desk.refuse", broker.Upstream, audit.CallFailed},
		"no answer in time":      {"desk.hang", broker.OutcomeUnknown, audit.CallUnknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			reply, err := rig.Call(t.Context(), call(copilot, tt.tool, `{}`))
			if tt.kind == broker.Internal {
				if err != nil || !reply.Answer.IsError {
					t.Fatalf("reply is %+v, %v", reply, err)
				}
				wantTypes(t, rig, reply.CallID, audit.CallIntent, tt.want)
				return
			}
			e := refusal(t, err, tt.kind)
			wantTypes(t, rig, e.CallID, audit.CallIntent, tt.want)
		})
	}
	t.Run("not reached", func(t *testing.T) {
		fake.SetHealth(errors.New("cable pulled"))
		_, err := rig.Call(t.Context(), echo("x"))
		e := refusal(t, err, broker.Upstream)
		wantTypes(t, rig, e.CallID, audit.CallIntent, audit.CallFailed)
	})
}

// redefined waits until the registry has listed what the fake was last given.
func redefined(t *testing.T, rig *brokertest.Rig, fake *toolstest.Fake) {
	t.Helper()
	defs, err := fake.Definitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, raw := range defs {
		d, err := tools.ParseDefinition(raw)
		if err != nil {
			t.Fatal(err)
		}
		want[d.Name] = d.Digest
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		got := map[string]string{}
		for _, tool := range rig.Registry.Tools() {
			got[tool.Definition.Name] = tool.Digest
		}
		if cmp.Equal(want, got) {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the registry does not follow")
		}
	}
}

func TestAClientThatLeavesDoesNotLoseTheRecord(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{})
	ctx, leave := context.WithCancel(t.Context())
	running := make(chan struct{})
	fake.Handle(toolstest.Define(toolstest.Slow, `{}`), func(ctx context.Context, _ tools.Call) (tools.Answer, error) {
		close(running)
		leave()
		return tools.Answer{Raw: json.RawMessage(`{"content":[]}`)}, ctx.Err()
	})
	redefined(t, rig, fake)
	reply, err := rig.Call(ctx, call(copilot, "desk.slow", `{}`))
	<-running
	if err != nil {
		t.Fatal(err)
	}
	wantTypes(t, rig, reply.CallID, audit.CallIntent, audit.CallResult)
}

func TestARunawayAgentIsSlowedDown(t *testing.T) {
	t.Parallel()
	rig, _ := start(t, brokertest.Options{Limit: 1})
	var last error
	for range 3 {
		_, last = rig.Call(t.Context(), echo("x"))
	}
	if e := refusal(t, last, broker.Overloaded); e.Retry <= 0 {
		t.Error("the agent is not told when to call again")
	}
	if _, err := rig.Call(t.Context(), call(brokertest.Through(alice, "copilot", "stranger"), "desk.echo", `{"text":"x"}`)); broker.AsError(err).Kind == broker.Overloaded {
		t.Error("another caller is slowed down as well")
	}
}
