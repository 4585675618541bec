package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/export"
	exportparquet "github.com/deedbroker/deed/audit/export/parquet"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// stories are calls that end in every way, and one that has not ended: each by its
// expected outcome.
func stories(t *testing.T) map[string]*export.Entry {
	t.Helper()
	entries := map[string]*export.Entry{}
	tell := func(want string, events ...audit.Event) {
		f := export.NewFolder()
		var last *export.Entry
		for n, e := range events {
			e.TraceParent = trace
			stored, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if done := f.Fold(audit.Record{Position: audit.Position{Log: e.LogName(), Index: int64(n)}, Stored: stored}); done != nil {
				last = done
			}
		}
		if open := f.Open(); len(open) == 1 {
			last = open[0]
		}
		if last == nil || export.RowOf(last).Outcome != want {
			t.Fatalf("%s: got %+v", want, last)
		}
		entries[want] = last
	}
	id := audittest.NewID
	a := id()
	tell("result", audittest.Intent(a, `{}`), audittest.Result(a, `{}`))
	b := id()
	tell("failed", audittest.Intent(b, `{}`), audittest.NewEvent(audit.CallFailed, b, audit.Outcome{Code: audit.CodeToolError, Reason: "=1+1, \"so\"\nand|so=on\\"}))
	c := id()
	tell("unknown", audittest.Intent(c, `{}`), audittest.NewEvent(audit.CallUnknown, c, audit.Outcome{Code: audit.CodeCrash}))
	d := id()
	tell("running", audittest.Intent(d, `{}`))
	own := intent(t, audittest.Intent(id(), `{}`))
	own.Identity.Principal, own.Digest, own.Decision = "", "", audit.Decision{}
	refusal := audit.Decision{Effect: audit.Deny, Reasons: []audit.Reason{{Policy: "no", Effect: "forbid", Text: "No."}}}
	tell("denied", audittest.NewEvent(audit.CallDenied, id(), audit.Outcome{Code: audit.CodePolicy, Reason: "policy no: No", Decision: &refusal, Request: &own}))
	e := id()
	held := intent(t, audittest.Intent(e, `{}`))
	until := time.Now().Add(time.Hour).UTC()
	held.Decision.Effect, held.Decision.Expires = audit.Hold, &until
	vote := audittest.NewEvent(audit.CallApproval, e, audit.Approval{
		Digest: held.Digest, By: audit.Identity{Principal: "bob", Expires: until}, Decision: audit.Decision{Effect: audit.Allow},
	})
	release := audit.Release{Digest: held.Digest, Decision: audit.Decision{Effect: audit.Allow}, Approvals: []string{vote.ID}}
	tell("cancelled", audittest.NewEvent(audit.CallIntent, e, held), vote, audittest.NewEvent(audit.CallReleased, e, release),
		audittest.NewEvent(audit.CallCancelled, e, audit.Outcome{Code: audit.CodeChanged}))
	return entries
}

func intent(t *testing.T, e audit.Event) audit.Intent {
	t.Helper()
	in, err := audit.DataOf[audit.Intent](e)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func written(t *testing.T, to func(*bytes.Buffer) export.Format) []byte {
	t.Helper()
	var b bytes.Buffer
	f := to(&b)
	entries := stories(t)
	var names []string
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := f.Call(entries[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestOCSFIsAsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/ocsf-6003.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("ocsf.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("ocsf.json")
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for line := range bytes.Lines(written(t, func(b *bytes.Buffer) export.Format { return export.NewOCSF(b, "1.2.3") })) {
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(v); err != nil {
			t.Errorf("%v\n%s", err, line)
		}
		o, _ := v.(map[string]any)
		un, _ := o["unmapped"].(map[string]any)
		_, delegated := o["delegation"]
		status[fmt.Sprint(un["deed.outcome"])] = fmt.Sprintln(o["status_id"], o["action_id"], o["disposition_id"], delegated)
	}
	want := map[string]string{
		"result": "1 1 1 true", "failed": "2 1 1 true", "unknown": "99 1 1 true", "running": "0 1 1 true",
		"denied": "2 2 2 false", "cancelled": "2 1 8 true",
	}
	for outcome, w := range want {
		if strings.TrimSpace(status[outcome]) != w {
			t.Errorf("%s: got %s, want %s", outcome, status[outcome], w)
		}
	}
}

func TestOTLPIsReadByItsOwnDefinitions(t *testing.T) {
	t.Parallel()
	n := 0
	for line := range bytes.Lines(written(t, func(b *bytes.Buffer) export.Format { return export.NewOTLP(b, "1.2.3") })) {
		var data logs.LogsData
		if err := protojson.Unmarshal(line, &data); err != nil {
			t.Fatalf("%v\n%s", err, line)
		}
		r := data.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords()[0]
		if r.GetTimeUnixNano() == 0 || r.GetEventName() != "deed.call" || len(r.GetAttributes()) < 15 {
			t.Errorf("got %v", r)
		}
		if !bytes.Contains(line, []byte(`"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331"`)) {
			t.Errorf("no trace in %s", line)
		}
		n++
	}
	if n != 6 {
		t.Errorf("%d records", n)
	}
}

func TestCSVComputesNothing(t *testing.T) {
	t.Parallel()
	rows, err := csv.NewReader(bytes.NewReader(written(t, func(b *bytes.Buffer) export.Format { return export.NewCSV(b) }))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 7 || rows[0][0] != "call_id" {
		t.Fatalf("got %v", rows)
	}
	reason := slices.Index(rows[0], "reason")
	outcome := slices.Index(rows[0], "outcome")
	for _, r := range rows[1:] {
		if r[outcome] == "failed" && !strings.HasPrefix(r[reason], "'=1+1") {
			t.Errorf("a spreadsheet would compute %q", r[reason])
		}
	}
}

func TestCEFKeepsForeignTextInItsField(t *testing.T) {
	t.Parallel()
	all := string(written(t, func(b *bytes.Buffer) export.Format { return export.NewCEF(b, "1|2") }))
	lines := strings.Split(strings.TrimSuffix(all, "\n"), "\n")
	if len(lines) != 6 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, `CEF:0|Deed|Deed|1\|2|call.`) || !strings.Contains(line, " externalId=") {
			t.Errorf("got %s", line)
		}
		if strings.Contains(line, "outcome=failed") && !strings.Contains(line, `msg=\=1+1, "so"\nand|so\=on\\`) {
			t.Errorf("got %s", line)
		}
	}
}

func TestParquetIsReadBack(t *testing.T) {
	t.Parallel()
	file := written(t, func(b *bytes.Buffer) export.Format { return exportparquet.New(b) })
	rows, err := parquet.Read[export.Row](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 6 || rows[0].Outcome != "cancelled" || rows[0].Approvers != "bob" || rows[0].Opened.IsZero() || rows[0].Leaf == "" {
		t.Errorf("got %+v", rows)
	}
	for _, r := range rows {
		if r.Outcome == "running" && !r.Closed.IsZero() {
			t.Errorf("an open call was closed at %s", r.Closed)
		}
	}
}
