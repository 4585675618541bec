package verify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

const (
	tenant  = "acme"
	replica = "deed://acme/one"
	log     = "payments/calls"
)

var start = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

// memory is a history that a test can change as no log would. It has the hashes of
// its trees if hashed is set.
type memory struct {
	records  []audit.Record
	payloads map[string]audit.Payload // by position and name; without salt: erased
	hashes   map[string][]tlog.Hash
	key      *seal.Key
	sealed   map[string]int64
	made     int

	frontiers      bool // stand beside checkpoints
	erasesOnRecord bool
}

func newMemory(tb testing.TB) *memory {
	tb.Helper()
	m := &memory{payloads: map[string]audit.Payload{}, hashes: map[string][]tlog.Hash{}, key: newKey(tb), sealed: map[string]int64{}}
	m.control(audit.ReplicaStarted, audit.Started{Version: "1", Key: m.key.Verifier().String()})
	return m
}

func newKey(tb testing.TB) *seal.Key {
	tb.Helper()
	key, err := seal.CreateKey(filepath.Join(tb.TempDir(), "keys", "key"), tenant)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (m *memory) Sizes(context.Context) (map[string]int64, error) {
	sizes := map[string]int64{}
	for _, r := range m.records {
		sizes[r.Position.Log] = max(sizes[r.Position.Log], r.Position.Index+1)
	}
	return sizes, nil
}

func (m *memory) Read(context.Context, audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		for _, r := range m.records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (m *memory) Record(_ context.Context, p audit.Position) (audit.Record, error) {
	for _, r := range m.records {
		if r.Position == p {
			return r, nil
		}
	}
	return audit.Record{}, audit.ErrNotFound
}

func (m *memory) Payload(_ context.Context, p audit.Position, name string) (audit.Payload, error) {
	got, ok := m.payloads[p.String()+name]
	switch {
	case !ok:
		return got, audit.ErrNotFound
	case got.Salt == nil:
		return got, audit.ErrErased
	}
	return got, nil
}

func (m *memory) ErasesOnRecord() bool { return m.erasesOnRecord }

// hashed is a memory that also offers its stored hashes.
type hashed struct{ *memory }

func (h hashed) Hashes(_ context.Context, log string) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			if index >= int64(len(h.hashes[log])) {
				return nil, audit.ErrNotFound
			}
			out[i] = h.hashes[log][index]
		}
		return out, nil
	})
}

func (m *memory) reader(log string) tlog.HashReader {
	return hashed{m}.Hashes(context.Background(), log)
}

func (m *memory) event(typ audit.Type, domain, topic, call, source string, when time.Time, data any) audit.Event {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	m.made++
	return audit.Event{
		SpecVersion: "1.0", ID: "event-" + strconv.Itoa(m.made), Type: typ, Source: source, Subject: call, Time: when,
		DataContentType: "application/json", Tenant: tenant, Domain: domain, Topic: topic, Data: b,
	}
}

// append stores an event as an honest log does.
func (m *memory) append(e audit.Event) audit.Event {
	stored, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	name := e.LogName()
	sizes, _ := m.Sizes(context.Background())
	p := audit.Position{Log: name, Index: sizes[name]}
	m.records = append(m.records, audit.Record{Position: p, Stored: stored})
	hashes, err := tlog.StoredHashes(p.Index, stored, m.reader(name))
	if err != nil {
		panic(err)
	}
	m.hashes[name] = append(m.hashes[name], hashes...)
	for _, payload := range e.Payloads {
		m.payloads[p.String()+payload.Name] = payload
	}
	return e
}

func (m *memory) control(typ audit.Type, data any) {
	m.append(m.event(typ, audit.OwnDomain, audit.TopicControl, "", replica, start, data))
}

func (m *memory) call(typ audit.Type, call string, data any, payloads ...audit.Payload) audit.Event {
	e := m.about(m.event(typ, "payments", audit.TopicCalls, call, replica, start.Add(time.Minute), data))
	e.Payloads = payloads
	return m.append(e)
}

// about fills in whose call an event is of, as a broker does.
func (m *memory) about(e audit.Event) audit.Event {
	until := start.Add(time.Hour)
	e.Principal, e.Actor, e.TokenExpires = "alice", "copilot", &until
	return e
}

// checkpoint signs a log as it is, or as it is said to be.
func (m *memory) checkpoint(c seal.Checkpoint, key *seal.Key) string {
	note, err := key.Sign(c)
	if err != nil {
		panic(err)
	}
	said := audit.Checkpoint{Log: c.Log, Size: c.Size, Note: note}
	if m.frontiers {
		said.Frontier = m.frontier(c)
	}
	m.append(m.event(audit.TreeSigned, audit.OwnDomain, audit.TopicCheckpoints, "", replica, start.Add(time.Minute), said))
	return note
}

func (m *memory) now(log string) seal.Checkpoint {
	sizes, _ := m.Sizes(context.Background())
	root, err := tlog.TreeHash(sizes[log], m.reader(log))
	if err != nil {
		panic(err)
	}
	return seal.Checkpoint{Tenant: tenant, Log: log, Size: sizes[log], Root: root}
}

func (m *memory) seal() {
	sizes, _ := m.Sizes(context.Background())
	names := []string{}
	for name := range sizes {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if c := m.now(name); name != seal.CheckpointsLog && c.Size > m.sealed[name] {
			m.checkpoint(c, m.key)
			m.sealed[name] = c.Size
		}
	}
}

func person(name string) audit.Identity {
	return audit.Identity{Issuer: "https://idp.example", Principal: name, Token: "t", Expires: start.Add(time.Hour)}
}

func alice() audit.Identity {
	return audit.Identity{Issuer: "https://idp.example", Principal: "alice", Chain: []audit.Actor{{ID: "copilot"}}, Expires: start.Add(time.Hour)}
}

func allow() audit.Decision {
	return audit.Decision{Effect: audit.Allow, PolicySet: "p", Reasons: []audit.Reason{{Policy: "p", Effect: "permit"}}}
}

func hold() audit.Decision {
	until := start.Add(5 * time.Minute)
	return audit.Decision{Effect: audit.Hold, PolicySet: "p", Expires: &until}
}

func (m *memory) intend(call string, d audit.Decision) audit.Intent {
	args := audit.NewPayload(audit.PayloadArguments, []byte(`{"amount":`+strconv.Itoa(m.made)+`}`))
	in := audit.Intent{
		Tool: "payments.refund", Definition: "d", Arguments: args.Commitment(), Decision: d,
		Identity: alice(),
	}
	in.Digest = audit.CallDigest(in)
	m.call(audit.CallIntent, call, in, args)
	return in
}

func (m *memory) vote(call, who string, in audit.Intent) string {
	return m.call(audit.CallApproval, call, audit.Approval{Digest: in.Digest, By: person(who), Decision: allow()}).ID
}

func (m *memory) release(call string, in audit.Intent, votes ...string) {
	m.call(audit.CallReleased, call, audit.Release{Digest: in.Digest, Decision: allow(), Approvals: votes})
}

func (m *memory) result(call string) {
	out := audit.NewPayload(audit.PayloadOutput, []byte(`{"ok":true}`))
	c := out.Commitment()
	m.call(audit.CallResult, call, audit.Outcome{Code: audit.CodeOK, Output: &c}, out)
}

// honest is a history with some of everything, sealed twice and with a tail:
//
//	payments/calls 0-1 call a ran, 2-5 call b held, approved, ran | sealed at 6
//	               6-9 calls c and d ran | sealed at 10 | 10 call e is open
func honest(tb testing.TB) *memory {
	tb.Helper()
	m := newMemory(tb)
	text := audit.NewPayload(audit.PayloadPolicy, []byte(`"permit(principal, action, resource);"`))
	e := m.event(audit.PolicyActivated, audit.OwnDomain, audit.TopicControl, "", replica, start, audit.Activation{PolicySet: "p", Text: text.Commitment()})
	e.Payloads = []audit.Payload{text}
	m.append(e)
	m.intend("a", allow())
	m.result("a")
	in := m.intend("b", hold())
	vote := m.vote("b", "bob", in)
	m.release("b", in, vote)
	m.result("b")
	m.seal()
	m.intend("c", allow())
	m.result("c")
	m.intend("d", allow())
	m.result("d")
	m.seal()
	m.intend("e", allow())
	return m
}

// find is where a record stands in the order of the history.
func (m *memory) find(log string, index int64) int {
	i := slices.IndexFunc(m.records, func(r audit.Record) bool { return r.Position == audit.Position{Log: log, Index: index} })
	if i < 0 {
		panic(fmt.Sprintf("no record %s@%d", log, index))
	}
	return i
}

// change rewrites the event of a record, as somebody who writes the file would.
func change[T any](m *memory, log string, index int64, edit func(*T)) {
	i := m.find(log, index)
	e, err := m.records[i].Event()
	if err != nil {
		panic(err)
	}
	data, err := audit.DataOf[T](e)
	if err != nil {
		panic(err)
	}
	edit(&data)
	if e.Data, err = json.Marshal(data); err != nil {
		panic(err)
	}
	if m.records[i].Stored, err = json.Marshal(e); err != nil {
		panic(err)
	}
}

// renumber gives a log's records the indexes of their order, and hashes that fit.
func (m *memory) renumber(log string) {
	m.hashes[log] = nil
	n := int64(0)
	for i := range m.records {
		if m.records[i].Position.Log == log {
			m.records[i].Position.Index = n
			hashes, err := tlog.StoredHashes(n, m.records[i].Stored, m.reader(log))
			if err != nil {
				panic(err)
			}
			m.hashes[log] = append(m.hashes[log], hashes...)
			n++
		}
	}
}

func marshal(tb testing.TB, e audit.Event) []byte {
	tb.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
