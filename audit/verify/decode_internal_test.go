package verify

import (
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
)

// Black-box tests cannot see which way an event was read: the short way must
// never read another event than audit.ParseEvent does.
func FuzzScanReadsWhatParseEventReads(f *testing.F) {
	const head = `{"specversion":"1.0","id":"a","type":"dev.deed.call.result.v1","source":"s","subject":"c","time":"2026-11-24T03:00:00.5Z",` +
		`"datacontenttype":"application/json","tenant":"t","domain":"d","topic":"calls","principal":"p","actor":"x","tokenexpires":"2026-11-24T03:00:00Z","traceparent":"00-1-2-3",`
	for _, tail := range []string{
		`"data":{"code":"ok","a":[{"b":"}\\\""}]}}`, `"data":{}}`, `"data":null}`, `"data":{"a":"\\"}}`, `"data":{"}":1}} `, `"data":{},"id":"b"}`,
		`"data":{},"ID":"b"}`, `"data":{},"data":{}}`, `"more":1,"data":{}}`, `"data":{]}}`, `"data":{"a":"` + "\xff" + `"}}`,
	} {
		f.Add([]byte(head + tail))
	}
	f.Fuzz(func(t *testing.T, stored []byte) {
		got, ok := scan(stored)
		if !ok {
			return
		}
		if !jsontext.Value(got.Data).IsValid() {
			if _, err := audit.ParseEvent(stored); err == nil {
				t.Fatal("ParseEvent accepts data that is not unambiguous JSON")
			}
			return // decoding the data finds it
		}
		want, err := audit.ParseEvent(stored)
		if err != nil {
			t.Fatalf("scan reads what ParseEvent refuses: %v\n%s", err, stored)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestUsualEventsAreScanned(t *testing.T) {
	t.Parallel()
	usual := `{"specversion":"1.0","id":"a","type":"dev.deed.call.result.v1","source":"s","subject":"c","time":"2026-11-24T03:00:00Z","datacontenttype":"application/json","tenant":"t","domain":"d","topic":"calls","data":{"code":"ok"}}`
	if _, ok := scan([]byte(usual)); !ok {
		t.Error("an event as audit writes it took the long way")
	}
}

func TestAmbiguousRecordIsRefused(t *testing.T) {
	t.Parallel()
	const head = `{"specversion":"1.0","id":"a","type":"dev.deed.call.result.v1","source":"s","subject":"c","time":"2026-11-24T03:00:00Z","datacontenttype":"application/json","tenant":"t","domain":"d","topic":"calls",`
	for name, tail := range map[string]string{
		"two ids":         `"id":"b","data":{"code":"ok"}}`,
		"two codes":       `"data":{"code":"ok","code":"policy"}}`,
		"text, not UTF-8": `"more":"` + "\xff" + `","data":{"code":"ok"}}`,
	} {
		if e, err := decode([]byte(head + tail)); err == nil {
			if _, err = audit.DataOf[audit.Outcome](e); err == nil {
				t.Errorf("%s: an event that others could read differently was read", name)
			}
		}
	}
	if _, err := audit.ParseEvent([]byte(head + `"id":"b","data":{}}`)); err == nil {
		t.Error("an event with two ids was parsed")
	}
}
