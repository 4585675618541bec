package verify_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/statement"
	"github.com/deedbroker/deed/audit/verify"
)

// indexed finds records of a large memory without searching.
type indexed struct {
	*memory
	at    map[audit.Position]int
	sizes map[string]int64
}

func (i indexed) Sizes(context.Context) (map[string]int64, error) { return i.sizes, nil }

func (i indexed) Record(_ context.Context, p audit.Position) (audit.Record, error) {
	n, ok := i.at[p]
	if !ok {
		return audit.Record{}, audit.ErrNotFound
	}
	return i.records[n], nil
}

func (i indexed) Read(ctx context.Context, c audit.Cursor) iter.Seq2[audit.Record, error] {
	return i.memory.Read(ctx, c)
}

// large repeats calls of two records each, as a broker writes them.
func large(tb testing.TB, count int) indexed {
	tb.Helper()
	small := newMemory(tb)
	in := small.intend("x", allow())
	in.Identity.Roles, in.Identity.Scopes, in.Identity.Session = []string{"support", "staff"}, []string{"openid", "mcp:call"}, "0f8fad5b-d9cb-469f-a165-70867728950e"
	in.Identity.Token = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	in.Definition, in.Decision.PolicySet, in.Client, in.Protocol = in.Identity.Token, in.Identity.Token, "copilot/1.2", "2026-07-28"
	in.Digest = audit.CallDigest(in)
	output := audit.NewPayload(audit.PayloadOutput, []byte(`{}`)).Commitment()
	m := newMemory(tb)
	big := indexed{memory: m, at: map[audit.Position]int{}, sizes: map[string]int64{}}
	for n := range count {
		id := fmt.Sprintf("019ab000-0000-7000-8000-%012x", n)
		for k, e := range []audit.Event{
			m.event(audit.CallIntent, "payments", audit.TopicCalls, id, replica, start.Add(time.Minute), in),
			m.event(audit.CallResult, "payments", audit.TopicCalls, id, replica, start.Add(time.Minute), audit.Outcome{Code: audit.CodeOK, Output: &output, Millis: 1.5}),
		} {
			e.ID = fmt.Sprintf("019ab000-0000-7000-9000-%012x", 2*n+k)
			expires := start.Add(time.Hour)
			e.Principal, e.Actor, e.TokenExpires = "alice", "copilot", &expires
			e.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
			m.records = append(m.records, audit.Record{Position: audit.Position{Log: log, Index: int64(2*n + k)}, Stored: marshal(tb, e)})
		}
	}
	for i, r := range m.records {
		big.at[r.Position] = i
		big.sizes[r.Position.Log] = max(big.sizes[r.Position.Log], r.Position.Index+1)
	}
	return big
}

// BenchmarkVerify is hashing, decoding and folding, without payloads and disk; with
// statements it is also a signature a call, on all cores.
func BenchmarkVerify(b *testing.B) {
	plain := large(b, 20_000)
	stated := large(b, 20_000)
	stated.sign(b)
	for name, tt := range map[string]struct {
		indexed

		sample int
	}{"plain": {plain, 0}, "stated": {stated, 0}, "sampled": {stated, 20}} {
		b.Run(name, func(b *testing.B) {
			source := tt.indexed
			records, bytes := 0, 0
			for _, r := range source.records {
				bytes += len(r.Stored)
			}
			before := audittest.CPUTime(b)
			for b.Loop() {
				r := check(b, source, verify.Options{SkipPayloads: true, Closed: true, SampleStatements: tt.sample})
				if !r.OK() {
					b.Fatal(r.Findings[:3])
				}
				records += len(source.records)
			}
			b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(records)/(audittest.CPUTime(b)-before).Seconds(), "records/cpu-s")
			b.ReportMetric(float64(bytes)/float64(len(source.records)), "bytes/record")
		})
	}
}

// sign states every call.
func (i indexed) sign(tb testing.TB) {
	tb.Helper()
	key := i.announce(tb, replica, i.key, start.Add(24*time.Hour))
	control := i.records[len(i.records)-1]
	i.at[control.Position] = len(i.records) - 1
	i.sizes[control.Position.Log]++
	said := ""
	for n, r := range i.records {
		e, err := r.Event()
		if err != nil {
			tb.Fatal(err)
		}
		switch e.Type {
		case audit.CallIntent:
			in, err := audit.DataOf[audit.Intent](e)
			if err == nil {
				said, err = key.Sign(statement.Of(tenant, e.Subject, &in, e.Time))
			}
			if err != nil {
				tb.Fatal(err)
			}
		case audit.CallResult:
		default:
			continue
		}
		i.restate(tb, n, said)
	}
}
