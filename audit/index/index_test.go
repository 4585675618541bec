package index_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/index"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var start = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

// history writes calls into an embedded log.
type history struct {
	t    testing.TB
	log  *embedded.Log
	dir  string
	made int
}

func newHistory(tb testing.TB) *history {
	tb.Helper()
	dir := tb.TempDir()
	log, err := embedded.Open(tb.Context(), dir, embedded.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := log.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &history{t: tb, log: log, dir: dir}
}

func (h *history) append(typ audit.Type, domain, call string, data any, payloads ...audit.Payload) audit.Position {
	h.t.Helper()
	b, err := json.Marshal(data)
	if err != nil {
		h.t.Fatal(err)
	}
	h.made++
	p, err := h.log.Append(h.t.Context(), audit.Event{
		SpecVersion: "1.0", ID: fmt.Sprintf("event-%d", h.made), Type: typ, Source: "deed://acme/one", Subject: call,
		Time: start.Add(time.Duration(h.made) * time.Second), DataContentType: "application/json",
		Tenant: "acme", Domain: domain, Topic: audit.TopicCalls, Data: b, Payloads: payloads,
		TraceParent: fmt.Sprintf("00-%032x-b7ad6b7169203331-01", h.made),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

type wanted struct {
	call, domain, tool, person, agent, arguments, policy string
	held                                                 bool
}

func (h *history) open(w wanted) audit.Intent {
	h.t.Helper()
	args := audit.NewPayload(audit.PayloadArguments, []byte(w.arguments))
	in := audit.Intent{
		Tool: w.tool, Definition: "d", Arguments: args.Commitment(), Client: "copilot/1.2",
		Identity: audit.Identity{Issuer: "https://idp.example", Principal: w.person, Session: "sid-1", Expires: start.Add(24 * time.Hour)},
		Decision: audit.Decision{Effect: audit.Allow, Reasons: []audit.Reason{{Policy: w.policy, Text: "Refunds over 100 need two leads."}}},
	}
	if w.agent != "" {
		in.Identity.Chain = []audit.Actor{{ID: w.agent}, {ID: "orchestrator"}}
	}
	if w.held {
		until := start.Add(time.Hour)
		in.Decision.Effect, in.Decision.Expires, in.Decision.Approvers = audit.Hold, &until, []string{"lead"}
	}
	in.Digest = audit.CallDigest(in)
	h.append(audit.CallIntent, w.domain, w.call, in, args)
	return in
}

func (h *history) result(domain, call string) {
	h.t.Helper()
	h.append(audit.CallResult, domain, call, audit.Outcome{Code: audit.CodeOK, Millis: 12.5})
}

// indexed is an index that has everything which the log now has.
func (h *history) indexed(path string) *index.Index {
	h.t.Helper()
	i, _ := h.open2(path)
	return i
}

func (h *history) open2(path string) (*index.Index, *bytes.Buffer) {
	h.t.Helper()
	var said bytes.Buffer
	i, err := index.Open(h.t.Context(), path, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		h.t.Fatal(err)
	}
	h.catchUp(i)
	h.t.Cleanup(func() {
		if err := i.Close(); err != nil {
			h.t.Error(err)
		}
	})
	return i, &said
}

// catchUp runs the index until it has what the log has.
func (h *history) catchUp(i *index.Index) {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx, h.log, h.log) }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		lag, err := i.Behind(ctx)
		if err != nil {
			h.t.Error(err)
			break
		}
		if lag.Records == 0 {
			break
		}
	}
	stop()
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
}

// three is a refund that is held and approved, a file that is written, and a
// refund of another agent that goes on.
func three(tb testing.TB) *history {
	tb.Helper()
	h := newHistory(tb)
	in := h.open(wanted{
		call: "c1", domain: "payments", tool: "payments.refund", person: "alice", agent: "copilot",
		arguments: `{"iban":"DE02-1203","note":"broken kettle","amount":250}`, policy: "big-refunds", held: true,
	})
	h.open(wanted{call: "c2", domain: "source", tool: "files.write", person: "dora", agent: "sub-agent", arguments: `{"path":"/srv/notes.txt"}`, policy: "files-for-all"})
	by := audit.Identity{Issuer: "https://idp.example", Principal: "bob", Expires: start.Add(time.Hour)}
	allow := audit.Decision{Effect: audit.Allow, Reasons: []audit.Reason{{Policy: "leads-approve"}}}
	h.append(audit.CallApproval, "payments", "c1", audit.Approval{Digest: in.Digest, By: by, Reason: "known customer", Decision: allow})
	h.append(audit.CallReleased, "payments", "c1", audit.Release{Decision: allow, Approvals: []string{"event-3"}, Digest: in.Digest})
	h.result("payments", "c1")
	h.result("source", "c2")
	h.open(wanted{call: "c3", domain: "payments", tool: "payments.refund_all", person: "alice", agent: "sub-agent", arguments: `{"amount":1}`, policy: "small-refunds"})
	return h
}

func ids(p index.Page) []string {
	out := []string{}
	for _, c := range p.Calls {
		out = append(out, c.ID)
	}
	return out
}

func TestSearchFindsCallsByEachFilter(t *testing.T) {
	t.Parallel()
	h := three(t)
	i := h.indexed(filepath.Join(t.TempDir(), index.FileName))
	both := []string{"payments", "source"}
	tests := map[string]struct {
		q    index.Query
		want []string
	}{
		"everything, newest first":  {index.Query{Domains: both}, []string{"c3", "c2", "c1"}},
		"one domain":                {index.Query{Domains: []string{"source"}}, []string{"c2"}},
		"no domain":                 {index.Query{Text: "kettle"}, []string{}},
		"text of another domain":    {index.Query{Domains: []string{"source"}, Text: "kettle"}, []string{}},
		"person":                    {index.Query{Domains: both, Person: "alice"}, []string{"c3", "c1"}},
		"agent":                     {index.Query{Domains: both, Agent: "sub-agent"}, []string{"c3", "c2"}},
		"agent further up":          {index.Query{Domains: both, Agent: "orchestrator"}, []string{"c3", "c2", "c1"}},
		"tool":                      {index.Query{Domains: both, Tool: "payments.refund"}, []string{"c1"}},
		"tools of an upstream":      {index.Query{Domains: both, Tool: "payments."}, []string{"c3", "c1"}},
		"tools by part of a prefix": {index.Query{Domains: both, Tool: "pay*"}, []string{"c3", "c1"}},
		"tools of no such prefix":   {index.Query{Domains: both, Tool: "payments.x*"}, []string{}},
		"tools by no word":          {index.Query{Domains: both, Tool: "payments/*"}, []string{}},
		"case of a tool's prefix":   {index.Query{Domains: both, Tool: "Payments.re*"}, []string{}},
		"tools by prefix":           {index.Query{Domains: both, Tool: "payments.refund*"}, []string{"c3", "c1"}},
		"state":                     {index.Query{Domains: both, State: "running"}, []string{"c3"}},
		"outcome":                   {index.Query{Domains: both, Outcome: audit.CodeOK}, []string{"c2", "c1"}},
		"policy of the intent":      {index.Query{Domains: both, Policy: "big-refunds"}, []string{"c1"}},
		"policy of the approval":    {index.Query{Domains: both, Policy: "leads-approve"}, []string{"c1"}},
		"approver":                  {index.Query{Domains: both, Approver: "bob"}, []string{"c1"}},
		"since":                     {index.Query{Domains: both, Since: start.Add(2 * time.Second)}, []string{"c3", "c2"}},
		"until":                     {index.Query{Domains: both, Until: start.Add(2 * time.Second)}, []string{"c1"}},
		"since the future":          {index.Query{Domains: both, Since: start.Add(time.Hour)}, []string{}},
		"trace":                     {index.Query{Domains: both, Trace: fmt.Sprintf("%032x", 2)}, []string{"c2"}},
		"session":                   {index.Query{Domains: both, Session: "sid-1", Person: "dora"}, []string{"c2"}},
		"no such session":           {index.Query{Domains: both, Session: "sid-2"}, []string{}},
		"an argument":               {index.Query{Domains: both, Arguments: []string{"/amount=250"}}, []string{"c1"}},
		"two arguments":             {index.Query{Domains: both, Arguments: []string{"/amount=250", "/note=broken kettle"}}, []string{"c1"}},
		"another's argument":        {index.Query{Domains: both, Arguments: []string{"/amount=250", "/note=new kettle"}}, []string{}},
		"a value under its name":    {index.Query{Domains: both, Arguments: []string{"/note=250"}}, []string{}},
		"words of the arguments":    {index.Query{Domains: both, Text: "kettle broken"}, []string{"c1"}},
		"a number":                  {index.Query{Domains: both, Text: "250"}, []string{"c1"}},
		"a word with joiners":       {index.Query{Domains: both, Text: "DE02-1203"}, []string{"c1"}},
		"a part of it":              {index.Query{Domains: both, Text: "1203"}, []string{"c1"}},
		"case does not matter":      {index.Query{Domains: both, Text: "KETTLE"}, []string{"c1"}},
		"a path":                    {index.Query{Domains: both, Text: "/srv/notes.txt"}, []string{"c2"}},
		"the reason of a vote":      {index.Query{Domains: both, Text: "known customer"}, []string{"c1"}},
		"the last word of a reason": {index.Query{Domains: both, Text: "leads", Outcome: audit.CodeOK}, []string{"c2", "c1"}},
		"a prefix":                  {index.Query{Domains: both, Text: "kett*"}, []string{"c1"}},
		"no prefix is a facet's":    {index.Query{Domains: both, Text: "d*", Outcome: audit.CodeOK, Policy: "big-refunds", Arguments: []string{"/amount=1"}}, []string{}},
		"no prefix unless asked":    {index.Query{Domains: both, Text: "kett"}, []string{}},
		"words and filters":         {index.Query{Domains: both, Text: "payments", Person: "alice", State: "closed"}, []string{"c1"}},
		"syntax is text":            {index.Query{Domains: both, Text: `kettle" OR "notes`}, []string{}},
		"operators are words":       {index.Query{Domains: both, Text: "kettle NOT broken"}, []string{}},
		"nothing but signs":         {index.Query{Domains: both, Text: `"*()`}, []string{}},
		"all filters at once": {index.Query{
			Domains: both, Person: "alice", Agent: "copilot", Tool: "payments.refund", State: "closed", Outcome: audit.CodeOK,
			Policy: "big-refunds", Approver: "bob", Since: start, Until: start.Add(time.Hour), Text: "kettle", Trace: fmt.Sprintf("%032x", 1),
		}, []string{"c1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.q.Readable = tt.q.Domains
			page, err := i.Search(t.Context(), tt.q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, ids(page)); diff != "" {
				t.Error(diff)
			}
			checkFits(t, i, tt.q, both)
		})
	}
}

// checkFits checks that a query without words finds by the calls alone what it finds here.
func checkFits(t *testing.T, i *index.Index, q index.Query, all []string) {
	t.Helper()
	q.Text, q.Arguments = "", nil
	if len(q.Domains) == 0 {
		return
	}
	found, err := i.Search(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	every, err := i.Search(t.Context(), index.Query{Domains: all})
	if err != nil {
		t.Fatal(err)
	}
	fit := []string{}
	for _, c := range every.Folded {
		if q.Fits(&c) {
			fit = append(fit, c.ID)
		}
	}
	if diff := cmp.Diff(ids(found), fit); diff != "" {
		t.Errorf("fits (-found +fit): %s", diff)
	}
}

// What calls were made with is found only where it may be read; what else is known of them, always.
func TestArgumentsAreSearchedOnlyWhereTheyMayBeRead(t *testing.T) {
	t.Parallel()
	h := three(t)
	i := h.indexed(filepath.Join(t.TempDir(), index.FileName))
	both := []string{"payments", "source"}
	for name, tt := range map[string]struct {
		q    index.Query
		want []string
	}{
		"a word of arguments":         {index.Query{Text: "kettle", Readable: []string{"source"}}, []string{}},
		"its beginning":               {index.Query{Text: "ket*", Readable: []string{"source"}}, []string{}},
		"one argument":                {index.Query{Arguments: []string{"/amount=250"}, Readable: []string{"source"}}, []string{}},
		"of two words one is of them": {index.Query{Text: "customer kettle", Readable: []string{"source"}}, []string{}},
		"nowhere":                     {index.Query{Text: "kettle"}, []string{}},
		"no argument anywhere":        {index.Query{Arguments: []string{"/amount=250"}}, []string{}},
		"in the other domain":         {index.Query{Text: "/srv/notes.txt", Readable: []string{"source"}}, []string{"c2"}},
		"beside the arguments":        {index.Query{Text: "known customer"}, []string{"c1"}},
		"in both":                     {index.Query{Text: "known kettle", Readable: both}, []string{"c1"}},
		"a domain that is not asked":  {index.Query{Text: "kettle", Domains: []string{"source"}, Readable: both}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.q.Domains == nil {
				tt.q.Domains = both
			}
			page, err := i.Search(t.Context(), tt.q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, ids(page)); diff != "" {
				t.Error(diff)
			}
		})
	}
	c1, err := i.Call(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"known customer": true, "KNOWN cust*": true, "kettle": false, "known kettle": false, "payments.refund": true} {
		if got := (index.Query{Text: text}).FoundWithoutArguments(&c1.Folded); got != want {
			t.Errorf("%q is found without arguments: %t", text, got)
		}
	}
}

func TestSummaryTellsWhoDidWhatAndWhatCameOfIt(t *testing.T) {
	t.Parallel()
	h := three(t)
	i := h.indexed(filepath.Join(t.TempDir(), index.FileName))
	got, err := i.Call(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	want := index.Summary{
		ID: "c1", Domain: "payments", Tool: "payments.refund", Upstream: "payments", Issuer: "https://idp.example",
		Principal: "alice", Actor: "copilot", Chain: []string{"copilot", "orchestrator"}, State: "closed", Outcome: audit.CodeOK,
		Closing: audit.CallResult, Policies: []string{"big-refunds", "leads-approve"}, Approvers: []string{"lead"}, Voters: []string{"bob"},
		Opened: start.Add(time.Second), Closed: start.Add(5 * time.Second), Millis: 12.5,
		Opening: audit.Position{Log: "payments/calls"}, Ending: audit.Position{Log: "payments/calls", Index: 3},
		Trace: fmt.Sprintf("00-%032x-b7ad6b7169203331-01", 1), Client: "copilot/1.2", Session: "sid-1",
	}
	if diff := cmp.Diff(want, got.Summary); diff != "" {
		t.Error(diff)
	}
	var types []audit.Type
	for _, e := range got.Events {
		types = append(types, e.Type)
		direct, err := e.Read(t.Context(), h.log)
		if err != nil {
			t.Fatal(err)
		}
		read, err := e.Read(t.Context(), onlyLog{h.log})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(direct, read); diff != "" || direct.Position != e.Position {
			t.Errorf("event %s reads differently by cursor: %s", e.Position, diff)
		}
	}
	if diff := cmp.Diff([]audit.Type{audit.CallIntent, audit.CallApproval, audit.CallReleased, audit.CallResult}, types); diff != "" {
		t.Error(diff)
	}
	if _, err := i.Call(t.Context(), "c9"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("an unknown call: error %v, want not found", err)
	}
}

// onlyLog hides what a log can do beyond the contract.
type onlyLog struct{ audit.Log }

func TestAgentsAreListedWithTheirOutcomes(t *testing.T) {
	t.Parallel()
	i := three(t).indexed(filepath.Join(t.TempDir(), index.FileName))
	got, err := i.Agents(t.Context(), "payments", "source")
	if err != nil {
		t.Fatal(err)
	}
	want := []index.Agent{
		{
			ID: "sub-agent", First: start.Add(2 * time.Second), Last: start.Add(7 * time.Second), For: []string{"alice", "dora"},
			Tools: []string{"files.write", "payments.refund_all"}, Outcomes: map[string]int64{"ok": 1, "open": 1},
		},
		{
			ID: "copilot", First: start.Add(time.Second), Last: start.Add(5 * time.Second), For: []string{"alice"},
			Tools: []string{"payments.refund"}, Outcomes: map[string]int64{"ok": 1},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	few, err := i.Agents(t.Context(), "source")
	if err != nil || len(few) != 1 || few[0].ID != "sub-agent" || len(few[0].Tools) != 1 {
		t.Errorf("agents of one domain: %+v, %v", few, err)
	}
}

func TestPagesDoNotShiftWhileCallsAreAdded(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	add := func(from, to int) {
		for n := from; n < to; n++ {
			h.open(wanted{call: fmt.Sprintf("c%02d", n), domain: "payments", tool: "payments.refund", person: "alice", arguments: `{}`, policy: "p"})
		}
	}
	add(0, 20)
	i := h.indexed(filepath.Join(t.TempDir(), index.FileName))
	q := index.Query{Domains: []string{"payments"}, Person: "alice", Limit: 6}
	var got []string
	for {
		page, err := i.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ids(page)...)
		if q.After = page.Next; q.After == "" {
			break
		}
		add(20+len(got), 21+len(got))
		h.catchUp(i)
	}
	var want []string
	for n := 19; n >= 0; n-- {
		want = append(want, fmt.Sprintf("c%02d", n))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestQueryThatCannotBeAnsweredIsAnError(t *testing.T) {
	t.Parallel()
	i := three(t).indexed(filepath.Join(t.TempDir(), index.FileName))
	q := index.Query{Domains: []string{"payments", "source"}, Limit: 1}
	page, err := i.Search(t.Context(), q)
	if err != nil || page.Next == "" {
		t.Fatalf("first page: %+v, %v", page, err)
	}
	for name, bad := range map[string]index.Query{
		"another query's cursor": {Domains: []string{"payments"}, After: page.Next},
		"made-up cursor":         {Domains: q.Domains, After: "AAAA"},
		"cursor of no base64":    {Domains: q.Domains, After: "%%%"},
		"negative limit":         {Domains: q.Domains, Limit: -1},
		"limit too high":         {Domains: q.Domains, Limit: index.MaxLimit + 1},
		"text too long":          {Domains: q.Domains, Text: strings.Repeat("x", index.MaxSearch+1)},
	} {
		if _, err := i.Search(t.Context(), bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
