package audit_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
)

func validEvent() audit.Event {
	return audit.Event{
		SpecVersion: "1.0", ID: "019ab000-0000-7000-8000-000000000001", Type: audit.CallIntent,
		Source: "deed://acme/one", Subject: "019ab000-0000-7000-8000-00000000c0de",
		Time: time.Date(2026, 11, 24, 3, 0, 0, 123456789, time.UTC), DataContentType: "application/json",
		Tenant: "acme", Domain: "payments", Topic: audit.TopicCalls, Data: json.RawMessage(`{}`),
	}
}

func TestEventIsFitForALogOnlyWithAllItsAttributes(t *testing.T) {
	t.Parallel()
	berlin := time.FixedZone("CET", 3600)
	tests := map[string]struct {
		change func(*audit.Event)
		want   string // part of the error; empty: fit
	}{
		"whole":                     {func(*audit.Event) {}, ""},
		"no call in another topic":  {func(e *audit.Event) { e.Topic, e.Subject = audit.TopicControl, "" }, ""},
		"another specversion":       {func(e *audit.Event) { e.SpecVersion = "0.3" }, "specversion"},
		"no id":                     {func(e *audit.Event) { e.ID = "" }, "missing"},
		"no type":                   {func(e *audit.Event) { e.Type = "" }, "missing"},
		"no source":                 {func(e *audit.Event) { e.Source = "" }, "missing"},
		"no tenant":                 {func(e *audit.Event) { e.Tenant = "" }, "missing"},
		"no domain":                 {func(e *audit.Event) { e.Domain = "" }, "missing"},
		"no topic":                  {func(e *audit.Event) { e.Topic = "" }, "missing"},
		"a call event without call": {func(e *audit.Event) { e.Subject = "" }, "subject"},
		"no time":                   {func(e *audit.Event) { e.Time = time.Time{} }, "time"},
		"local time":                {func(e *audit.Event) { e.Time = e.Time.In(berlin) }, "time"},
		"no data":                   {func(e *audit.Event) { e.Data = nil }, "data"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := validEvent()
			tt.change(&e)
			err := e.Validate()
			if tt.want == "" {
				if err != nil {
					t.Fatalf("fit event refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got error %v, want one about %q", err, tt.want)
			}
		})
	}
}

func TestParsedEventEqualsTheStoredOne(t *testing.T) {
	t.Parallel()
	e := validEvent()
	stored, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := audit.ParseEvent(stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, got); diff != "" {
		t.Error(diff)
	}
}

func TestPayloadsStayOutOfTheStoredBytes(t *testing.T) {
	t.Parallel()
	e := validEvent()
	e.Payloads = []audit.Payload{audit.NewPayload(audit.PayloadArguments, []byte(`{"iban":"DE02"}`))}
	stored, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(stored), "DE02") || strings.Contains(strings.ToLower(string(stored)), "payloads") {
		t.Errorf("payload in the event: %s", stored)
	}
}

func TestTimesOfOtherZonesAreReadAsUTC(t *testing.T) {
	t.Parallel()
	stored, err := json.Marshal(validEvent())
	if err != nil {
		t.Fatal(err)
	}
	shifted := strings.Replace(string(stored), "2026-11-24T03:00:00.123456789Z", "2026-11-24T04:00:00.123456789+01:00", 1)
	got, err := audit.ParseEvent([]byte(shifted))
	if err != nil {
		t.Fatal(err)
	}
	if got.Time != validEvent().Time {
		t.Errorf("got %v, want %v", got.Time, validEvent().Time)
	}
}

func TestRecordInAnotherLogThanItsEventSaysIsReported(t *testing.T) {
	t.Parallel()
	stored, err := json.Marshal(validEvent())
	if err != nil {
		t.Fatal(err)
	}
	home := audit.Record{Position: audit.Position{Log: "payments/calls", Index: 4}, Stored: stored}
	if _, err := home.Event(); err != nil {
		t.Fatalf("record in its own log: %v", err)
	}
	away := audit.Record{Position: audit.Position{Log: "source/calls", Index: 4}, Stored: stored}
	_, err = away.Event()
	if err == nil || !strings.Contains(err.Error(), "misrouted") || !strings.Contains(err.Error(), "source/calls@4") {
		t.Fatalf("got error %v, want it to name the misrouted record", err)
	}
}

func TestDataOfAnotherTypeIsAnErrorThatNamesTheEvent(t *testing.T) {
	t.Parallel()
	e := validEvent()
	e.Data = json.RawMessage(`[1]`)
	_, err := audit.DataOf[audit.Intent](e)
	if err == nil || !strings.Contains(err.Error(), e.ID) {
		t.Fatalf("got error %v, want one that names %s", err, e.ID)
	}
}

func TestOnlyOutcomesCloseACall(t *testing.T) {
	t.Parallel()
	closing := map[audit.Type]bool{
		audit.CallResult: true, audit.CallFailed: true, audit.CallDenied: true,
		audit.CallExpired: true, audit.CallCancelled: true, audit.CallUnknown: true,
	}
	for name := range everyEvent() {
		if got, want := name.Closes(), closing[name]; got != want {
			t.Errorf("%s closes: got %t, want %t", name, got, want)
		}
	}
}

func TestPositionReadsBackFromItsText(t *testing.T) {
	t.Parallel()
	want := audit.Position{Log: "payments/calls", Index: 17}
	got, err := audit.ParsePosition("payments/calls@17")
	if err != nil || got != want || got.String() != "payments/calls@17" {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "payments/calls", "@1", "payments/calls@", "payments/calls@-1", "payments/calls@x", "payments/calls@99999999999999999999"} {
		if p, err := audit.ParsePosition(bad); err == nil {
			t.Errorf("%q read as %v", bad, p)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, e := range everyEvent() {
		b, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"specversion":"1.0","id":"a","ID":"b","time":"0000-01-01T00:00:00+01:00"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, stored []byte) {
		e, err := audit.ParseEvent(stored)
		if err != nil {
			return
		}
		if err := e.Validate(); err != nil {
			t.Fatalf("a parsed event is unfit: %v", err)
		}
		again, err := json.Marshal(e)
		if err != nil { // years that JSON cannot say, after the change to UTC
			return
		}
		back, err := audit.ParseEvent(again)
		if err != nil {
			t.Fatalf("a parsed event does not parse again: %v\n%s", err, again)
		}
		e.Data, back.Data = compact(t, e.Data), compact(t, back.Data)
		if diff := cmp.Diff(e, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

func compact(t *testing.T, raw json.RawMessage) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
