package verify_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// decideInAdvance has bob grant two calls alike, and change the arguments of another,
// which dave approves.
func decideInAdvance(t *testing.T, rig *brokertest.Rig, alice, bob *agents.Identity, call func(tool, args string) *broker.Reply) {
	t.Helper()
	end := func(id string) {
		for reply, err := rig.Await(t.Context(), alice, id, nil); reply == nil || reply.Pending != nil; reply, err = rig.Await(t.Context(), alice, id, nil) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func(id string) broker.HeldCall {
		h, err := rig.Held(t.Context(), bob, id)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	h := look(call("echo", `{"text":"ask often"}`).CallID)
	if _, err := rig.Grant(t.Context(), broker.GrantRequest{
		Identity: bob, CallID: h.ID, Digest: h.Digest(), Uses: 2, Until: time.Now().Add(time.Hour),
		Where: []audit.Condition{{Field: "/text", Equals: json.RawMessage(`"ask often"`)}},
	}); err != nil {
		t.Fatal(err)
	}
	end(h.ID)
	end(call("echo", `{"text":"ask often"}`).CallID)
	h = look(call("echo", `{"text":"ask rudely"}`).CallID)
	c, err := rig.Edit(t.Context(), broker.Edit{Identity: bob, CallID: h.ID, Digest: h.Digest(), Arguments: []byte(`{"text":"ask kindly"}`)})
	if err == nil {
		_, err = rig.Vote(t.Context(), broker.Vote{
			Identity: brokertest.Person("dave", "lead"), CallID: h.ID, Verdict: audit.Approve, Digest: c.Digest(),
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	end(h.ID)
}

// recorded is a history that a real broker wrote and sealed: calls that ran, failed,
// were refused, held and approved, held and denied, and one that is still held.
func recorded(t *testing.T) (*memory, seal.Verifier) {
	t.Helper()
	rig := brokertest.Start(t, brokertest.Options{
		Seal: true, HoldWait: time.Millisecond, Upstreams: map[string]tools.Upstream{"desk": toolstest.NewFake()},
		Policies: `permit (principal, action, resource);
			@id("ask") @approvers("lead") forbid (principal, action == Action::"desk.echo", resource)
			when { context.input.text like "ask*" } unless { context.approvals.count >= 1 };
			@id("bob-alone") forbid (principal, action == Action::"grant", resource) unless { principal == User::"bob" };
			@id("no") forbid (principal, action == Action::"desk.echo", resource) when { context.input.text == "no" };`,
	})
	alice := brokertest.Through(brokertest.Person("alice", "support"), "copilot")
	bob := brokertest.Person("bob", "lead")
	call := func(tool, args string) *broker.Reply {
		reply, _ := rig.Call(t.Context(), broker.Request{Identity: alice, Tool: "desk." + tool, Arguments: json.RawMessage(args)})
		return reply
	}
	var ids []string
	for n := range 3 {
		ids = append(ids, call("echo", fmt.Sprintf(`{"text":"%d"}`, n)).CallID)
	}
	call("fail", `{}`)
	call("refuse", `{}`)
	call("echo", `{"text":"no"}`)
	call("absent", `{}`)
	for _, v := range []audit.Verdict{audit.Approve, audit.Reject, ""} {
		id := call("echo", `{"text":"ask `+string(v)+`"}`).CallID
		held, err := rig.Held(t.Context(), bob, id)
		if err == nil && v != "" {
			_, err = rig.Vote(t.Context(), broker.Vote{Identity: bob, CallID: id, Verdict: v, Digest: held.Intent.Digest, Reason: "because"})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	decideInAdvance(t, rig, alice, bob, call)
	eraseAndHold(t, rig, bob, ids[0], ids[1])
	var key seal.Verifier
	m := &memory{key: newKey(t), payloads: map[string]audit.Payload{}, hashes: map[string][]tlog.Hash{}, sealed: map[string]int64{}, erasesOnRecord: true}
	rig.Stop()
	reader := openReader(t, rig.Dir)
	for r, err := range reader.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		m.keep(t, r, reader)
		if e, err := r.Event(); err == nil && e.Type == audit.ReplicaStarted {
			s, err := audit.DataOf[audit.Started](e)
			if err == nil {
				key, err = seal.ParseVerifier(s.Key)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return m, key
}

// keep copies a record with its payloads.
func (m *memory) keep(t *testing.T, r audit.Record, from audit.Payloads) {
	t.Helper()
	m.records = append(m.records, r)
	for _, name := range []string{audit.PayloadArguments, audit.PayloadOutput, audit.PayloadPolicy, audit.PayloadDefinition} {
		if p, err := from.Payload(t.Context(), r.Position, name); err == nil || errors.Is(err, audit.ErrErased) {
			m.payloads[r.Position.String()+name] = p
		}
	}
	hashes, err := tlog.StoredHashes(r.Position.Index, r.Stored, m.reader(r.Position.Log))
	if err != nil {
		t.Fatal(err)
	}
	m.hashes[r.Position.Log] = append(m.hashes[r.Position.Log], hashes...)
}

func (m *memory) clone() *memory {
	c := *m
	c.records = slices.Clone(m.records)
	for i := range c.records {
		c.records[i].Stored = bytes.Clone(c.records[i].Stored)
	}
	c.payloads, c.hashes = maps.Clone(m.payloads), maps.Clone(m.hashes)
	return &c
}

// pick draws a record of those that want says yes to.
func (m *memory) pick(t *rapid.T, want func(audit.Record) bool) int {
	var fit []int
	for i, r := range m.records {
		if want(r) {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		t.Skip("no such record")
	}
	return rapid.SampledFrom(fit).Draw(t, "record")
}

func anyRecord(audit.Record) bool { return true }

func sealedLog(r audit.Record) bool { return r.Position.Log != seal.CheckpointsLog }

func checkpoint(r audit.Record) bool { return r.Position.Log == seal.CheckpointsLog }

func (m *memory) isLast(r audit.Record) bool {
	sizes, _ := m.Sizes(nil) //nolint:staticcheck // it asks nothing of a context
	return r.Position.Index == sizes[r.Position.Log]-1
}

// mutations are what somebody can do to a sealed history who can write all of it but
// has another key than its own. What they change they make fit as well as they can.
// Of checkpoints, what counts is signed; the rest of their events only stored hashes
// vouch for, see TestAnyFlippedBitNamesItsRecord.
var mutations = map[string]func(t *rapid.T, m *memory){
	"flip a bit": func(t *rapid.T, m *memory) {
		r := m.records[m.pick(t, sealedLog)]
		bit := rapid.IntRange(0, len(r.Stored)*8-1).Draw(t, "bit")
		r.Stored[bit/8] ^= 1 << (bit % 8)
	},
	"flip a bit, and make the hashes fit": func(t *rapid.T, m *memory) {
		r := m.records[m.pick(t, sealedLog)]
		bit := rapid.IntRange(0, len(r.Stored)*8-1).Draw(t, "bit")
		r.Stored[bit/8] ^= 1 << (bit % 8)
		m.renumber(r.Position.Log)
	},
	"remove a record": func(t *rapid.T, m *memory) {
		i := m.pick(t, func(r audit.Record) bool { return sealedLog(r) || !m.isLast(r) })
		m.records = slices.Delete(m.records, i, i+1)
	},
	"remove a record, and close the gap": func(t *rapid.T, m *memory) {
		i := m.pick(t, sealedLog)
		log := m.records[i].Position.Log
		m.records = slices.Delete(m.records, i, i+1)
		m.renumber(log)
	},
	"cut a log short": func(t *rapid.T, m *memory) {
		at := m.records[m.pick(t, sealedLog)].Position
		m.records = slices.DeleteFunc(m.records, func(r audit.Record) bool { return r.Position.Log == at.Log && r.Position.Index >= at.Index })
	},
	"add a call": func(t *rapid.T, m *memory) {
		log := m.records[m.pick(t, sealedLog)].Position.Log
		forged := audittest.Intent(audittest.NewID(), `{"amount":1}`)
		last := m.records[m.pick(t, func(r audit.Record) bool { return r.Position.Log == log })]
		e, err := last.Event()
		if err != nil {
			t.Fatal(err)
		}
		forged.Domain, forged.Topic, forged.Tenant, forged.Source = e.Domain, e.Topic, e.Tenant, e.Source
		stored, err := json.Marshal(forged)
		if err != nil {
			t.Fatal(err)
		}
		i := m.pick(t, func(r audit.Record) bool { return r.Position.Log == log })
		m.records = slices.Insert(m.records, i, audit.Record{Position: audit.Position{Log: log}, Stored: stored})
		m.renumber(log)
	},
	"repeat a record": func(t *rapid.T, m *memory) {
		i, j := m.pick(t, anyRecord), m.pick(t, anyRecord)
		log := m.records[i].Position.Log
		m.records = slices.Insert(m.records, j, audit.Record{Position: m.records[i].Position, Stored: bytes.Clone(m.records[i].Stored)})
		m.renumber(log)
	},
	"exchange two records": func(t *rapid.T, m *memory) {
		i := m.pick(t, sealedLog)
		log := m.records[i].Position.Log
		j := m.pick(t, func(r audit.Record) bool { return r.Position.Log == log && r.Position != m.records[i].Position })
		m.records[i].Stored, m.records[j].Stored = m.records[j].Stored, m.records[i].Stored
		m.renumber(log)
	},
	"move a record to another log": func(t *rapid.T, m *memory) {
		i := m.pick(t, sealedLog)
		from := m.records[i].Position.Log
		j := m.pick(t, func(r audit.Record) bool { return r.Position.Log != from })
		to := m.records[j].Position.Log
		m.records[i].Position.Log = to
		m.renumber(from)
		m.renumber(to)
	},
	"tell another story of a call": func(t *rapid.T, m *memory) {
		r := &m.records[m.pick(t, func(r audit.Record) bool { return bytes.Contains(r.Stored, []byte("alice")) })]
		r.Stored = bytes.ReplaceAll(r.Stored, []byte("alice"), []byte("mallory"))
		m.renumber(r.Position.Log)
	},
	"erase a payload": func(t *rapid.T, m *memory) {
		m.payloads[m.drawPayload(t)] = audit.Payload{}
	},
	"change a payload": func(t *rapid.T, m *memory) {
		name := m.drawPayload(t)
		p := m.payloads[name]
		switch rapid.SampledFrom([]string{"body", "salt", "type"}).Draw(t, "what") {
		case "body":
			p.Body = append(bytes.Clone(p.Body), ' ')
		case "salt":
			p.Salt = bytes.Clone(p.Salt)
			p.Salt[0] ^= 1
		default:
			p.MediaType = "text/plain"
		}
		m.payloads[name] = p
	},
	"take a payload away": func(t *rapid.T, m *memory) {
		delete(m.payloads, rapid.SampledFrom(slices.Sorted(maps.Keys(m.payloads))).Draw(t, "payload"))
	},
	"flip a bit of a signed note": func(t *rapid.T, m *memory) {
		r := m.records[m.pick(t, checkpoint)]
		from := bytes.Index(r.Stored, []byte(`"note":"`)) + len(`"note":"`)
		bit := rapid.IntRange(from*8, bytes.LastIndex(r.Stored, []byte(`\n"`))*8-1).Draw(t, "bit")
		r.Stored[bit/8] ^= 1 << (bit % 8)
	},
	"sign with another key": func(t *rapid.T, m *memory) {
		m.resign(t, func(*seal.Checkpoint) {})
	},
	"sign another root with another key": func(t *rapid.T, m *memory) {
		m.resign(t, func(c *seal.Checkpoint) { c.Root[5] ^= 1 })
	},
	"put a checkpoint over another": func(t *rapid.T, m *memory) {
		i, j := m.pick(t, checkpoint), m.pick(t, checkpoint)
		if i == j {
			t.Skip("the same")
		}
		m.records[i].Stored = m.records[j].Stored
	},
	"change what a checkpoint's event says": func(t *rapid.T, m *memory) {
		p := m.records[m.pick(t, checkpoint)].Position
		change(m, p.Log, p.Index, func(c *audit.Checkpoint) { c.Size-- })
	},
}

// drawPayload draws one that is not erased.
func (m *memory) drawPayload(t *rapid.T) string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(m.payloads)), func(name string) bool { return m.payloads[name].Salt == nil })
	return rapid.SampledFrom(names).Draw(t, "payload")
}

// resign replaces a checkpoint by one of a key that nobody introduced.
func (m *memory) resign(t *rapid.T, edit func(*seal.Checkpoint)) {
	p := m.records[m.pick(t, checkpoint)].Position
	change(m, p.Log, p.Index, func(data *audit.Checkpoint) {
		c := m.now(data.Log)
		c.Tenant, c.Size = tenant, data.Size
		edit(&c)
		note, err := m.key.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		data.Note = note
	})
}

// No mutation of a history that a real broker wrote passes, and as it is it does.
func TestNoMutationOfARealHistoryPasses(t *testing.T) {
	t.Parallel()
	honest, key := recorded(t)
	options := verify.Options{Keys: []seal.Verifier{key}}
	for name, source := range map[string]verify.Source{"plain": honest, "with hashes": hashed{honest}} {
		if r := check(t, source, options); !r.OK() || r.Calls != 13 || r.OpenCalls != 1 {
			t.Fatalf("as it is, %s: %d calls, %d open, %v", name, r.Calls, r.OpenCalls, r.Findings)
		}
	}
	for name, mutate := range mutations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				m := honest.clone()
				mutate(t, m)
				for _, source := range []verify.Source{m, hashed{m}} {
					r, err := verify.Verify(t.Context(), source, options)
					if err != nil {
						t.Fatal(err)
					}
					if r.OK() {
						t.Fatalf("it passes: %v", r.Notes)
					}
					for _, f := range r.Findings {
						if f.Rule == "" || f.Where.Log == "" || f.Expected == "" && f.Found == "" {
							t.Fatalf("a finding does not say what and where: %+v", f)
						}
					}
				}
			})
		})
	}
}

// A history that is cut off between two checkpoints, as a crash leaves it, is honest:
// at every place.
func TestEveryTornTailIsHonest(t *testing.T) {
	t.Parallel()
	whole, key := recorded(t)
	for n := 1; n <= len(whole.records); n++ {
		m := whole.clone()
		m.records = m.records[:n]
		m.erasesOnRecord = n == len(whole.records) // what was erased later was still there then
		if r := check(t, m, verify.Options{Keys: []seal.Verifier{key}}); !r.OK() {
			t.Errorf("the first %d of %d records: %v", n, len(whole.records), r.Findings)
		}
	}
}
