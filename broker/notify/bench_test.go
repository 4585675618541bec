package notify

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/sentence"
)

type noLog struct{}

func (noLog) Follow(context.Context, audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) { yield(audit.Record{}, errors.New("there is none")) }
}

// BenchmarkFold is what a record costs: one of a call that nobody has to decide on, a
// call that is held while a thousand others are, and finding what is due among these.
func BenchmarkFold(b *testing.B) {
	n, err := Open(b.Context(), Config{
		Log: noLog{}, Path: filepath.Join(b.TempDir(), FileName), URL: "https://deed.example", Source: "deed://acme/one",
		Words:  func(context.Context, calls.Call) (sentence.Sentence, error) { return sentence.Sentence{}, nil },
		Routes: []Route{{To: []string{"leads"}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close() //nolint:errcheck // at the end of the benchmark
	until := time.Now().Add(time.Hour).UTC()
	record := func(id string, effect audit.Effect) audit.Record {
		in := audit.Intent{
			Tool: "payments.refund", Identity: audit.Identity{Issuer: "https://idp.example", Principal: "alice", Chain: []audit.Actor{{ID: "copilot"}}, Expires: until},
			Decision: audit.Decision{Effect: effect, Expires: &until, Approvers: []string{"lead"}},
		}
		in.Digest = audit.CallDigest(in)
		data := fmt.Appendf(nil, `{"tool":%q,"definition":"","arguments":{"sha256":"","size":0,"mediatype":""},"digest":%q,"identity":{"issuer":"https://idp.example","principal":"alice","chain":[{"id":"copilot"}],"token":"","expires":%q},"decision":{"effect":%q,"policy_set":"","approvers":["lead"],"expires":%q}}`,
			in.Tool, in.Digest, until.Format(time.RFC3339Nano), effect, until.Format(time.RFC3339Nano))
		stored, err := audit.Event{
			SpecVersion: "1.0", ID: "e-" + id, Type: audit.CallIntent, Source: "deed://acme/one", Subject: id, Time: time.Now().UTC(),
			DataContentType: "application/json", Tenant: "acme", Domain: "payments", Topic: audit.TopicCalls, Data: data,
		}.Encode()
		if err != nil {
			b.Fatal(err)
		}
		return audit.Record{Position: audit.Position{Log: "payments/calls"}, Next: audit.Cursor(id), Stored: stored}
	}
	for i := range 1000 {
		if err := n.observe(b.Context(), record(fmt.Sprintf("held-%d", i), audit.Hold)); err != nil {
			b.Fatal(err)
		}
	}
	if n.book.waiting() != 1000 {
		b.Fatalf("%d calls are in the book", n.book.waiting())
	}
	b.Run("allowed", func(b *testing.B) {
		r := record("allowed", audit.Allow)
		for b.Loop() {
			if err := n.observe(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("due", func(b *testing.B) {
		for b.Loop() {
			if list, _, _ := n.book.due("leads", time.Now()); len(list) != maxTogether {
				b.Fatalf("%d are due", len(list))
			}
		}
	})
	b.Run("held", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if err := n.observe(b.Context(), record(fmt.Sprintf("more-%d-%d", b.N, i), audit.Hold)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
