package hindsight_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const inForce = `
@id("people") permit (principal in Role::"support", action in Action::"desk", resource);
@id("agents") permit (principal == Agent::"copilot", action in Action::"desk", resource);
@id("leads") permit (principal in Role::"lead", action in [Action::"approve", Action::"read"], resource);
@id("ask") @approvers("lead") forbid (principal, action == Action::"desk.echo", resource)
when { context.input.text like "ask*" } unless { context.approvals.count >= 1 };
@id("no") @reason("Not that.") forbid (principal, action == Action::"desk.echo", resource) when { context.input.text == "no" };`

// recorded is what a real broker wrote: 25 calls that ran, one denied, one held and
// approved, one held for nobody, one of an unknown tool.
func recorded(t *testing.T) *embedded.Log {
	t.Helper()
	rig := brokertest.Start(t, brokertest.Options{
		HoldWait: time.Millisecond, Policies: inForce, Upstreams: map[string]tools.Upstream{"desk": toolstest.NewFake()},
	})
	bob := brokertest.Person("bob", "lead")
	call := func(who, tool, args string) string {
		id := brokertest.Through(brokertest.Person(who, "support", "staff-"+who), "copilot")
		reply, _ := rig.Call(t.Context(), broker.Request{Identity: id, Tool: "desk." + tool, Arguments: json.RawMessage(args)})
		if reply == nil {
			return ""
		}
		return reply.CallID
	}
	for n := range 25 {
		call([]string{"alice", "dave"}[n%2], "echo", fmt.Sprintf(`{"text":"word %d"}`, n%3))
	}
	call("alice", "echo", `{"text":"no"}`)
	call("alice", "absent", `{}`)
	call("alice", "echo", `{"text":"ask nobody"}`)
	id := call("alice", "echo", `{"text":"ask bob"}`)
	held, err := rig.Held(t.Context(), bob, id)
	if err == nil {
		_, err = rig.Vote(t.Context(), broker.Vote{Identity: bob, CallID: id, Verdict: audit.Approve, Digest: held.Intent.Digest})
	}
	if err != nil {
		t.Fatal(err)
	}
	rig.Stop()
	log, err := embedded.Open(t.Context(), rig.Dir, embedded.Options{ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

func compiled(t *testing.T, from hindsight.History, text string) *policy.Set {
	t.Helper()
	known, err := hindsight.Tools(t.Context(), from, nil)
	if err != nil {
		t.Fatal(err)
	}
	set, found := policy.Compile([]policy.File{{Name: "draft.cedar", Text: []byte(text)}}, known, policy.Options{})
	if set == nil {
		t.Fatalf("%v\n%s", found, text)
	}
	return set
}

func TestADraftIsAskedAboutWhatHappened(t *testing.T) {
	t.Parallel()
	log := recorded(t)
	files, err := hindsight.LastPolicies(t.Context(), log)
	if err != nil || len(files) != 1 || string(files[0].Text) != inForce {
		t.Fatalf("policies in force: %v, %v", files, err)
	}
	for name, tt := range map[string]struct {
		draft string
		want  map[string]int
	}{
		"the same":            {inForce, nil},
		"approvals of nobody": {strings.Replace(inForce, ">= 1", ">= 2", 1), map[string]int{"approved held": 1}},
		"nothing held":        {strings.Replace(inForce, "ask*", "never*", 1), map[string]int{"approved allowed": 1, "held allowed": 1}},
		"other approvers":     {strings.Replace(inForce, `@approvers("lead")`, `@approvers("boss")`, 1), map[string]int{"approved held": 1}},
		"a word forbidden": {
			inForce + `@id("word") forbid (principal, action == Action::"desk.echo", resource) when { context.input.text == "word 1" };`,
			map[string]int{"allowed denied": 8},
		},
		"all held":           {strings.Replace(inForce, "ask*", "*", 1), map[string]int{"allowed held": 25}},
		"nobody else denied": {strings.Replace(inForce, `== "no"`, `== "nope"`, 1), map[string]int{"denied allowed": 1}},
		"another agent":      {strings.Replace(inForce, "copilot", "pilot", 1), map[string]int{"allowed denied": 25, "approved denied": 1, "held denied": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := hindsight.Replay(t.Context(), log, compiled(t, log, tt.draft), hindsight.Options{Examples: 2})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int{}
			changed := 0
			for _, c := range r.Changes {
				got[string(c.From)+" "+string(c.To)] = c.Calls
				changed += c.Calls
				if len(c.Examples) != min(2, c.Calls) || c.Examples[0].CallID == "" {
					t.Errorf("examples of %+v", c)
				}
			}
			if r.Calls != 28 || r.Same != 28-changed || r.Skipped["refused before any policy was asked: unknown_tool"] != 1 {
				t.Errorf("report %+v", r)
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) && len(got)+len(tt.want) > 0 {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOnlyThePeriodIsDecidedAgain(t *testing.T) {
	t.Parallel()
	log := recorded(t)
	r, err := hindsight.Replay(t.Context(), log, compiled(t, log, inForce), hindsight.Options{Since: time.Now().Add(time.Hour)})
	if err != nil || r.Calls != 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestErasedArgumentsAreSkippedAndSaidSo(t *testing.T) {
	t.Parallel()
	log := recorded(t)
	if err := log.Erase(t.Context(), audit.Position{Log: "desk/calls", Index: 0}, audit.PayloadArguments); err != nil {
		t.Fatal(err)
	}
	r, err := hindsight.Replay(t.Context(), log, compiled(t, log, inForce), hindsight.Options{})
	if err != nil || r.Calls != 27 || r.Skipped["its arguments have been erased"] != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestASuggestionPermitsWhatWasDoneAndNoMore(t *testing.T) {
	t.Parallel()
	log := recorded(t)
	s, err := hindsight.Suggest(t.Context(), log, compiled(t, log, inForce), hindsight.Options{}, true)
	if err != nil || s.Calls != 26 {
		t.Fatalf("got %+v, %v", s, err)
	}
	r, err := hindsight.Replay(t.Context(), log, compiled(t, log, s.Text), hindsight.Options{})
	// What nobody let run was not permitted, and is not by the suggestion.
	if err != nil || len(r.Changes) != 1 || r.Changes[0].From != hindsight.Held || r.Changes[0].Calls != 1 {
		t.Errorf("the suggestion changes %+v, %v\n%s", r.Changes, err, s.Text)
	}
	for _, want := range []string{`principal in Role::"support"`, `principal == Agent::"copilot"`, `Action::"desk.echo"`, `resource in Domain::"desk"`} {
		if !strings.Contains(s.Text, want) {
			t.Errorf("no %s in\n%s", want, s.Text)
		}
	}
	if strings.Contains(s.Text, "desk.slow") {
		t.Errorf("what nobody did is permitted:\n%s", s.Text)
	}
}

func TestAnAccessReviewTellsWhatIsUnused(t *testing.T) {
	t.Parallel()
	log := recorded(t)
	list, err := hindsight.Review(t.Context(), log, compiled(t, log, inForce), hindsight.Options{})
	if err != nil || len(list) != 2 || list[0].Principal != "alice" || !slices.Equal(list[0].Agents, []string{"copilot"}) {
		t.Fatalf("got %+v, %v", list, err)
	}
	got := map[string]hindsight.Grant{}
	for _, g := range list[0].Granted {
		got[g.Tool] = g
	}
	if g := got["desk.echo"]; !g.Granted || g.Calls != 15 || g.Denied != 1 || g.Last.IsZero() {
		t.Errorf("echo %+v", g)
	}
	if g := got["desk.slow"]; !g.Granted || g.Calls != 0 {
		t.Errorf("slow %+v", g)
	}
	if g := got["desk.absent"]; g.Granted || g.Denied != 1 {
		t.Errorf("absent %+v", g)
	}
}

// BenchmarkReplay is deciding a history again, payloads read from disk.
func BenchmarkReplay(b *testing.B) {
	log, err := embedded.Open(b.Context(), b.TempDir(), embedded.Options{ReserveBytes: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	set, tool := benchSet(b)
	const count = 5000
	for n := range count {
		args := audit.NewPayload(audit.PayloadArguments, fmt.Appendf(nil, `{"amount":%d,"note":"a note"}`, n))
		in := audit.Intent{
			Tool: tool, Definition: "d", Arguments: args.Commitment(), Decision: audit.Decision{Effect: audit.Allow},
			Identity: audit.Identity{Issuer: "i", Principal: "alice", Roles: []string{"support"}, Chain: []audit.Actor{{ID: "copilot"}}, Expires: time.Now().Add(time.Hour).UTC()},
		}
		in.Digest = audit.CallDigest(in)
		body, err := json.Marshal(in)
		if err != nil {
			b.Fatal(err)
		}
		_, err = log.Append(b.Context(), audit.Event{
			SpecVersion: "1.0", ID: uuid.NewString(), Type: audit.CallIntent, Source: "s", Subject: uuid.NewString(), Time: time.Now().UTC(),
			DataContentType: "application/json", Tenant: "t", Domain: "payments", Topic: audit.TopicCalls, Data: body, Payloads: []audit.Payload{args},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	for b.Loop() {
		if r, err := hindsight.Replay(b.Context(), log, set, hindsight.Options{}); err != nil || r.Calls != count {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	b.ReportMetric(float64(b.N)*count/b.Elapsed().Seconds(), "calls/s")
}

func benchSet(b *testing.B) (*policy.Set, string) {
	b.Helper()
	tool := policy.Tool{Upstream: "payments", Domain: "payments", Name: "refund", InputSchema: json.RawMessage(
		`{"type":"object","properties":{"amount":{"type":"integer"},"note":{"type":"string"}},"required":["amount"]}`)}
	set, found := policy.Compile([]policy.File{{Name: filepath.Base("a.cedar"), Text: []byte(`permit (principal, action, resource);
		forbid (principal, action == Action::"payments.refund", resource) when { context.input.amount > 4000 } unless { context.approvals.count >= 1 };`)}},
		[]policy.Tool{tool}, policy.Options{})
	if set == nil {
		b.Fatal(found)
	}
	return set, tool.ID()
}
