package broker

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// Reading heads first finds the same open calls, and the same held ones that have
// ended, as folding every event does, whoever wrote them in whatever order.
func TestHistoryIsTheFoldOfEveryCall(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(func(audit.Event) error { return nil }, func(audit.Record, error) {})
		whole := map[string]*calls.Call{}
		var ended []string
		for i := range rapid.IntRange(1, 40).Draw(t, "events") {
			e := someEvent(t, i)
			stored, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			rec := audit.Record{Position: audit.Position{Log: e.LogName(), Index: int64(i)}, Stored: stored}
			h.fold(rec)
			if e, err = rec.Event(); err != nil {
				t.Fatal(err)
			}
			c := whole[e.Subject]
			if c == nil {
				if e.Type != audit.CallIntent {
					continue
				}
				c = &calls.Call{}
				whole[e.Subject] = c
			}
			if counted, err := c.Apply(e, rec.Position); err == nil && counted && e.Type.Closes() {
				if c.Intent.Decision.Effect == audit.Hold {
					ended = append(ended, c.ID)
				}
				delete(whole, c.ID) // as if never heard of: a second intent opens it again
			}
		}
		var want, got, gone []string
		for id, c := range whole {
			if c.Open() {
				want = append(want, id+" "+c.State.String())
			}
		}
		for _, c := range h.left() {
			got = append(got, c.ID+" "+c.State.String())
		}
		for _, c := range h.ended {
			gone = append(gone, c.ID)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) || !slices.Equal(ended, gone) {
			t.Fatalf("open are %v, want %v; ended are %v, want %v", got, want, gone, ended)
		}
	})
}

func someEvent(t *rapid.T, i int) audit.Event {
	until := noon.Add(time.Hour)
	by := audit.Identity{Issuer: "i", Principal: "bob", Expires: until}
	in := audit.Intent{
		Tool: "desk.echo", Identity: audit.Identity{Issuer: "i", Principal: "alice", Expires: until},
		Decision: audit.Decision{Effect: rapid.SampledFrom([]audit.Effect{audit.Allow, audit.Allow, audit.Hold}).Draw(t, "effect"), Expires: &until},
	}
	in.Digest = audit.CallDigest(in)
	allow := audit.Decision{Effect: audit.Allow}
	kinds := map[audit.Type]any{
		audit.CallIntent:    in,
		audit.CallApproval:  audit.Approval{Digest: in.Digest, By: by, Decision: allow},
		audit.CallReleased:  audit.Release{Digest: in.Digest, Decision: allow, Approvals: []string{fmt.Sprint(i - 1)}},
		audit.CallResult:    audit.Outcome{Code: audit.CodeOK},
		audit.CallDenied:    audit.Outcome{Code: audit.CodeApprover, By: &by},
		audit.CallCancelled: audit.Outcome{Code: audit.CodeClient},
		audit.CallUnknown:   audit.Outcome{Code: audit.CodeCrash},
	}
	types := []audit.Type{audit.CallIntent, audit.CallIntent, audit.CallApproval, audit.CallReleased, audit.CallResult, audit.CallDenied, audit.CallCancelled, audit.CallUnknown}
	typ := rapid.SampledFrom(types).Draw(t, "type")
	data, err := json.Marshal(kinds[typ])
	if err != nil {
		t.Fatal(err)
	}
	return audit.Event{
		SpecVersion: "1.0", ID: fmt.Sprint(i), Type: typ, Source: rapid.SampledFrom([]string{"deed://acme/a", "deed://acme/b"}).Draw(t, "source"),
		Subject: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "call"), Time: noon, DataContentType: "application/json",
		Tenant: "acme", Domain: "desk", Topic: audit.TopicCalls, Data: data,
	}
}
