package calls_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

const (
	one = "deed://acme/one"
	two = "deed://acme/two"
)

var start = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

func event(typ audit.Type, source string, when time.Time, id string, data any) audit.Event {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return audit.Event{
		SpecVersion: "1.0", ID: id, Type: typ, Source: source, Subject: "call", Time: when,
		Tenant: "acme", Domain: "payments", Topic: audit.TopicCalls, Data: b,
	}
}

func person(name string, now time.Time) audit.Identity {
	return audit.Identity{Issuer: "https://idp.example", Principal: name, Expires: now.Add(time.Minute)}
}

func intent(d audit.Decision) audit.Intent {
	in := audit.Intent{
		Tool: "payments.refund", Definition: "d1", Arguments: audit.Commitment{Digest: "a1"}, Decision: d,
		Identity: audit.Identity{
			Issuer: "https://idp.example", Principal: "alice", Chain: []audit.Actor{{ID: "copilot"}}, Expires: start.Add(5 * time.Minute),
		},
	}
	in.Digest = audit.CallDigest(in)
	return in
}

func allowed() audit.Intent { return intent(audit.Decision{Effect: audit.Allow}) }

func held() audit.Intent {
	until := start.Add(15 * time.Minute)
	return intent(audit.Decision{Effect: audit.Hold, Expires: &until})
}

func approval(in audit.Intent, by audit.Identity) audit.Approval {
	return audit.Approval{Digest: in.Digest, By: by, Decision: audit.Decision{Effect: audit.Allow}}
}

func release(c *calls.Call) audit.Release {
	r := audit.Release{Digest: c.Digest(), Decision: audit.Decision{Effect: audit.Allow}}
	for _, v := range c.Votes {
		r.Approvals = append(r.Approvals, v.ID)
	}
	return r
}

// step is one event of a table: by default of replica one, at its number in minutes.
type step struct {
	typ    audit.Type
	data   any
	source string
	at     time.Duration
	want   calls.Rule // "": accepted
	noop   bool       // accepted, and changes nothing
	domain string
}

func opened(in audit.Intent) step { return step{typ: audit.CallIntent, data: in} }

func voted(who string) step {
	return step{typ: audit.CallApproval, data: approval(held(), person(who, start.Add(time.Hour)))}
}

// amended is the held call with other arguments.
func amended(arguments string) audit.Intent {
	in := held()
	in.Arguments.Digest = arguments
	in.Digest = audit.CallDigest(in)
	return in
}

func amend(from, to audit.Intent, by audit.Identity) audit.Edit {
	return audit.Edit{
		Previous: from.Digest, Arguments: to.Arguments, Digest: to.Digest, By: by,
		Permission: audit.Decision{Effect: audit.Allow}, Decision: audit.Decision{Effect: audit.Hold, Approvers: []string{"lead"}},
	}
}

func edited(who string) step {
	return step{typ: audit.CallEdited, data: amend(held(), amended("a2"), person(who, start.Add(time.Hour)))}
}

func votedFor(in audit.Intent, who string) step {
	return voted(who).with(approval(in, person(who, start.Add(time.Hour))))
}

func releasedAs(in audit.Intent, ids ...string) step {
	return released().with(audit.Release{Digest: in.Digest, Decision: audit.Decision{Effect: audit.Allow}, Approvals: ids})
}

func released(ids ...string) step {
	return step{typ: audit.CallReleased, data: audit.Release{
		Digest: held().Digest, Decision: audit.Decision{Effect: audit.Allow}, Approvals: ids,
	}}
}

func ended(typ audit.Type) step { return step{typ: typ, data: audit.Outcome{Code: "code"}} }

func reconciled(by audit.Identity) step {
	return step{typ: audit.CallReconciled, data: audit.Reconciliation{Happened: true, By: by}}
}

func (s step) by(source string) step      { s.source = source; return s }
func (s step) after(d time.Duration) step { s.at = d; return s }
func (s step) breaks(r calls.Rule) step   { s.want = r; return s }
func (s step) noChange() step             { s.noop = true; return s }
func (s step) in(domain string) step      { s.domain = domain; return s }
func (s step) with(data any) step         { s.data = data; return s }
func edit[T any](v T, change func(*T)) T  { change(&v); return v }
func byAgent() audit.Identity             { return edit(person("bob", start.Add(time.Hour)), addActor) }
func addActor(i *audit.Identity)          { i.Chain = []audit.Actor{{ID: "copilot"}} }
func outcomeBy(i audit.Identity) audit.Outcome {
	return audit.Outcome{Code: audit.CodeApprover, By: &i}
}

func TestProtocolOfACall(t *testing.T) {
	t.Parallel()
	bob := person("bob", start.Add(time.Hour))
	request := allowed()
	tests := map[string][]step{
		"allowed, ran":             {opened(allowed()), ended(audit.CallResult)},
		"allowed, failed":          {opened(allowed()), ended(audit.CallFailed)},
		"allowed, not executed":    {opened(allowed()), ended(audit.CallCancelled)},
		"allowed, replica lost":    {opened(allowed()), ended(audit.CallUnknown).by(two)},
		"approved, ran":            {opened(held()), voted("bob"), released("e1"), ended(audit.CallResult)},
		"approved by two":          {opened(held()), voted("bob"), voted("carol").by(two), released("e1", "e2"), ended(audit.CallResult)},
		"denied by a person":       {opened(held()), voted("bob"), ended(audit.CallDenied).with(outcomeBy(bob))},
		"expired":                  {opened(held()), ended(audit.CallExpired).after(15 * time.Minute)},
		"cancelled while held":     {opened(held()), ended(audit.CallCancelled)},
		"vote refused":             {opened(held()), {typ: audit.CallVoteRefused, data: audit.Approval{By: byAgent()}, noop: true}},
		"refused before an intent": {step{typ: audit.CallDenied, data: audit.Outcome{Code: audit.CodePolicy, Request: &request}}},
		"reconciled":               {opened(allowed()), ended(audit.CallUnknown), reconciled(bob), reconciled(bob).noChange()},

		"edited, approved by another": {opened(held()), edited("bob"), votedFor(amended("a2"), "carol"), releasedAs(amended("a2"), "e1", "e2"), ended(audit.CallResult)},
		"edited, approved anew":       {opened(held()), voted("carol"), edited("bob"), votedFor(amended("a2"), "carol"), releasedAs(amended("a2"), "e3"), ended(audit.CallResult)},
		"edited twice": {
			opened(held()), edited("bob"), edited("carol").with(amend(amended("a2"), amended("a3"), person("carol", start.Add(time.Hour)))),
			votedFor(amended("a3"), "bob"), releasedAs(amended("a3"), "e2", "e3"), ended(audit.CallResult),
		},
		"two edits at once":            {opened(held()), edited("bob"), edited("carol").noChange()},
		"edit after the release":       {opened(held()), voted("bob"), released("e1"), edited("carol").noChange()},
		"vote for what was edited":     {opened(held()), edited("bob"), voted("carol").noChange()},
		"release of what was edited":   {opened(held()), voted("carol"), edited("bob"), released("e1").noChange()},
		"late release of the edited":   {opened(held()), voted("carol"), edited("bob"), ended(audit.CallCancelled), released("e1").noChange()},
		"second release, of the first": {opened(held()), edited("bob"), votedFor(amended("a2"), "carol"), releasedAs(amended("a2"), "e1", "e2"), released("e1").noChange()},
		"released by its editor alone": {opened(held()), edited("bob"), releasedAs(amended("a2"), "e1").breaks(calls.OwnEdit)},
		"votes from before the edit":   {opened(held()), voted("carol"), edited("bob"), releasedAs(amended("a2"), "e1").breaks(calls.BadRelease)},
		"edit of a run":                {opened(allowed()), edited("bob").breaks(calls.NotPermitted)},
		"edit by an agent":             {opened(held()), edited("bob").with(amend(held(), amended("a2"), byAgent())).breaks(calls.NotAPerson)},
		"edit of another digest":       {opened(held()), edited("bob").with(amend(amended("a9"), amended("a2"), bob)).breaks(calls.DigestMismatch)},
		"edit to another digest":       {opened(held()), edited("bob").with(edit(amend(held(), amended("a2"), bob), func(e *audit.Edit) { e.Digest = "x" })).breaks(calls.DigestMismatch)},
		"edit that policy denies":      {opened(held()), edited("bob").with(edit(amend(held(), amended("a2"), bob), func(e *audit.Edit) { e.Decision.Effect = audit.Deny })).breaks(calls.NotPermitted)},
		"edit without permission":      {opened(held()), edited("bob").with(edit(amend(held(), amended("a2"), bob), func(e *audit.Edit) { e.Permission.Effect = audit.Deny })).breaks(calls.NotPermitted)},
		"edit by a lapsed token":       {opened(held()), edited("bob").with(amend(held(), amended("a2"), person("bob", start.Add(-time.Hour)))).breaks(calls.ExpiredToken)},

		"approved by a grant": {opened(held()), voted("bob").with(edit(approval(held(), person("bob", start.Add(-time.Hour))), func(a *audit.Approval) { a.Grant = "g" })), released("e1"), ended(audit.CallResult)},

		"second vote of one person":   {opened(held()), voted("bob"), voted("bob").noChange()},
		"vote after the release":      {opened(held()), voted("bob"), released("e1"), voted("carol").noChange()},
		"second release":              {opened(held()), voted("bob"), released("e1"), released("e1").by(two).noChange()},
		"release after the expiry":    {opened(held()), voted("bob"), ended(audit.CallExpired).after(15 * time.Minute), released("e1").noChange()},
		"expiry after the release":    {opened(held()), voted("bob"), released("e1"), ended(audit.CallExpired).after(15 * time.Minute).noChange()},
		"denial after the release":    {opened(held()), voted("bob"), released("e1"), ended(audit.CallDenied).with(outcomeBy(bob)).noChange()},
		"cancelling after a release":  {opened(held()), voted("bob"), released("e1"), ended(audit.CallCancelled).by(two).noChange()},
		"second closing":              {opened(allowed()), ended(audit.CallUnknown).by(two), ended(audit.CallResult).noChange()},
		"released, not executed":      {opened(held()), voted("bob"), released("e1"), ended(audit.CallCancelled)},
		"released, its replica lost":  {opened(held()), voted("bob"), released("e1"), ended(audit.CallUnknown).by(two)},
		"a token that expired lately": {opened(allowed()).after(6 * time.Minute)},

		"result without intent":      {ended(audit.CallResult).breaks(calls.NoIntent)},
		"denial without request":     {ended(audit.CallDenied).breaks(calls.NoIntent)},
		"opened twice":               {opened(allowed()), opened(allowed()).breaks(calls.TwoIntents)},
		"intent that was denied":     {opened(intent(audit.Decision{Effect: audit.Deny})).breaks(calls.NotPermitted)},
		"intent of no effect":        {opened(intent(audit.Decision{Effect: "maybe"})).breaks(calls.NotPermitted)},
		"hold without an end":        {opened(intent(audit.Decision{Effect: audit.Hold})).breaks(calls.NotPermitted)},
		"intent of another digest":   {opened(edit(allowed(), func(i *audit.Intent) { i.Tool = "payments.charge" })).breaks(calls.DigestMismatch)},
		"intent by a lapsed token":   {opened(allowed()).after(8 * time.Minute).breaks(calls.ExpiredToken)},
		"result while held":          {opened(held()), ended(audit.CallResult).breaks(calls.NotPermitted)},
		"failure while held":         {opened(held()), ended(audit.CallFailed).breaks(calls.NotPermitted)},
		"unknown while held":         {opened(held()), ended(audit.CallUnknown).breaks(calls.NotPermitted)},
		"denial while running":       {opened(allowed()), ended(audit.CallDenied).breaks(calls.NotPermitted)},
		"expiry while running":       {opened(allowed()), ended(audit.CallExpired).breaks(calls.NotPermitted)},
		"result by another replica":  {opened(held()), voted("bob"), released("e1"), ended(audit.CallResult).by(two).breaks(calls.NotPermitted)},
		"result of a stranger's":     {opened(allowed()), ended(audit.CallResult).by(two).breaks(calls.NotPermitted)},
		"failure of a stranger's":    {opened(allowed()), ended(audit.CallFailed).by(two).breaks(calls.NotPermitted)},
		"stranger cancels a run":     {opened(allowed()), ended(audit.CallCancelled).by(two).breaks(calls.NotPermitted)},
		"expiry before its time":     {opened(held()), ended(audit.CallExpired).breaks(calls.Misplaced)},
		"vote by an agent":           {opened(held()), voted("bob").with(approval(held(), byAgent())).breaks(calls.NotAPerson)},
		"vote by nobody":             {opened(held()), voted("bob").with(approval(held(), person("", start.Add(time.Hour)))).breaks(calls.NotAPerson)},
		"denial by an agent":         {opened(held()), ended(audit.CallDenied).with(outcomeBy(byAgent())).breaks(calls.NotAPerson)},
		"vote for another digest":    {opened(held()), voted("bob").with(audit.Approval{Digest: "x", By: bob, Decision: audit.Decision{Effect: audit.Allow}}).breaks(calls.DigestMismatch)},
		"vote without permission":    {opened(held()), voted("bob").with(audit.Approval{Digest: held().Digest, By: bob}).breaks(calls.NotPermitted)},
		"vote by a lapsed token":     {opened(held()), voted("bob").with(approval(held(), person("bob", start.Add(-time.Hour)))).breaks(calls.ExpiredToken)},
		"release without votes":      {opened(held()), released().breaks(calls.BadRelease)},
		"release of others' votes":   {opened(held()), voted("bob"), released("e1", "e7").breaks(calls.BadRelease)},
		"release of a later vote":    {opened(held()), released("e2").breaks(calls.BadRelease), voted("bob")},
		"release of no hold":         {opened(allowed()), released("e1").with(audit.Release{Digest: allowed().Digest, Decision: audit.Decision{Effect: audit.Allow}}).breaks(calls.BadRelease)},
		"release of another digest":  {opened(held()), voted("bob"), released("e1").with(audit.Release{Digest: "x"}).breaks(calls.DigestMismatch)},
		"release without permission": {opened(held()), voted("bob"), released("e1").with(audit.Release{Digest: held().Digest, Approvals: []string{"e1"}}).breaks(calls.NotPermitted)},
		"release after the deadline": {opened(held()), voted("bob"), released("e1").after(16 * time.Minute).breaks(calls.LateRelease)},
		"reconciled while running":   {opened(allowed()), reconciled(bob).breaks(calls.NotUnknown)},
		"reconciled a result":        {opened(allowed()), ended(audit.CallResult), reconciled(bob).breaks(calls.NotUnknown)},
		"reconciled by an agent":     {opened(allowed()), ended(audit.CallUnknown), reconciled(byAgent()).breaks(calls.NotAPerson)},
		"release counting one twice": {opened(held()), voted("bob"), released("e1", "e1").breaks(calls.BadRelease)},
		"reconciled by a lapsed one": {opened(allowed()), ended(audit.CallUnknown), reconciled(person("bob", start.Add(-time.Hour))).breaks(calls.ExpiredToken)},
		"denial by a lapsed token":   {opened(held()), ended(audit.CallDenied).with(outcomeBy(person("bob", start.Add(-time.Hour)))).breaks(calls.ExpiredToken)},
		"run after an expiry":        {opened(held()), ended(audit.CallExpired).after(15 * time.Minute), ended(audit.CallResult).breaks(calls.NotPermitted)},
		"lost after a denial":        {opened(held()), ended(audit.CallDenied).with(outcomeBy(bob)), ended(audit.CallUnknown).by(two).breaks(calls.NotPermitted)},
		"run after a refusal":        {step{typ: audit.CallDenied, data: audit.Outcome{Code: audit.CodePolicy, Request: &request}}, ended(audit.CallResult).breaks(calls.NotPermitted)},
		"second end by a stranger":   {opened(allowed()), ended(audit.CallResult), ended(audit.CallFailed).by(two).breaks(calls.NotPermitted)},
		"two ends of one run":        {opened(allowed()), ended(audit.CallResult), ended(audit.CallFailed).breaks(calls.TwoOutcomes)},
		"one end written again":      {opened(allowed()), ended(audit.CallResult), ended(audit.CallResult).noChange()},
		"refusal of another digest":  {step{typ: audit.CallDenied, data: audit.Outcome{Request: &audit.Intent{Tool: "x", Digest: "y"}}}.breaks(calls.DigestMismatch)},
		"moved to another domain":    {opened(allowed()), ended(audit.CallResult).in("source").breaks(calls.Misplaced)},
		"control event":              {opened(allowed()), ended(audit.PolicyActivated).breaks(calls.Misplaced)},
		"data of another form":       {opened(allowed()), ended(audit.CallResult).with([]int{1}).breaks(calls.Undecodable)},
		"intent of another form":     {opened(allowed()).with("intent").breaks(calls.Undecodable)},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var call calls.Call
			for i, s := range steps {
				applyStep(t, &call, i, s)
			}
		})
	}
}

func applyStep(t *testing.T, call *calls.Call, i int, s step) {
	t.Helper()
	if s.source == "" {
		s.source = one
	}
	e := event(s.typ, s.source, start.Add(s.at), fmt.Sprintf("e%d", i), s.data)
	if s.domain != "" {
		e.Domain = s.domain
	}
	before := call.State
	counted, err := call.Apply(e, audit.Position{Log: "payments/calls", Index: int64(i)})
	if s.want == "" {
		if err != nil || counted == s.noop {
			t.Fatalf("event %d, %s: counted %t, error %v; want counted %t", i, s.typ, counted, err, !s.noop)
		}
		return
	}
	v, ok := errors.AsType[*calls.Violation](err)
	if !ok || v.Rule != s.want || counted {
		t.Fatalf("event %d, %s: counted %t, error %v; want a violation of %s", i, s.typ, counted, err, s.want)
	}
	if v.CallID != "call" || !strings.Contains(err.Error(), string(s.want)) {
		t.Errorf("violation %q does not name its call and rule", err)
	}
	if call.State != before {
		t.Errorf("a violation changed the call from %s to %s", before, call.State)
	}
}

func TestClosedCallSaysHowItCameAbout(t *testing.T) {
	t.Parallel()
	call := callAt(t, 3)
	applyStep(t, call, 3, ended(audit.CallResult))
	if call.State != calls.Closed || call.Open() || call.Opening.ID != "e0" || call.Releasing.ID != "e2" || call.Closing.ID != "e3" {
		t.Errorf("got %+v", call)
	}
	if v, ok := call.VoteOf("https://idp.example", "bob"); !ok || v.ID != "e1" || v.At.Index != 1 {
		t.Errorf("vote of bob: %+v, %t", v, ok)
	}
	if _, ok := call.VoteOf("https://other.example", "bob"); ok {
		t.Error("the bob of another issuer has voted")
	}
	if want := start.Add(15 * time.Minute); !call.Deadline().Equal(want) {
		t.Errorf("deadline %s, want %s", call.Deadline(), want)
	}
}

func TestStatesHaveTheirWords(t *testing.T) {
	t.Parallel()
	want := []string{"none", "running", "held", "released", "closed"}
	for i, w := range want {
		if got := calls.State(i).String(); got != w {
			t.Errorf("state %d is %q, want %q", i, got, w)
		}
	}
}

// callAt is a call after so many events of an approved one; 4 is one that is closed.
func callAt(tb testing.TB, stage uint8) *calls.Call {
	tb.Helper()
	var call calls.Call
	steps := []step{opened(held()), voted("bob"), released("e1"), ended(audit.CallResult)}
	for i, s := range steps[:stage] {
		if _, err := call.Apply(event(s.typ, one, start, fmt.Sprintf("e%d", i), s.data), audit.Position{Index: int64(i)}); err != nil {
			tb.Fatal(err)
		}
	}
	return &call
}

// snapshot is a call in a form that can be compared.
func snapshot(call *calls.Call) string { return fmt.Sprintf("%+v", *call) }
