package audit_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
)

var update = flag.Bool("update", false, "write the golden files")

func at(minute int) time.Time { return time.Date(2026, 11, 24, 3, minute, 0, 0, time.UTC) }

func commitment(body string) audit.Commitment {
	return audit.Payload{Salt: make([]byte, audit.SaltBytes), Body: []byte(body), MediaType: "application/json"}.Commitment()
}

func agentFor(person string) audit.Identity {
	return audit.Identity{
		Issuer: "https://idp.acme.example/realms/acme", Principal: person,
		Chain: []audit.Actor{{ID: "sub-agent"}, {ID: "copilot", Roles: []string{"assistant"}}},
		Roles: []string{"support"}, Scopes: []string{"mcp:call"}, ACR: "1", Session: "sid-1", TokenID: "jti-1",
		Token: strings.Repeat("ab", 32), Expires: at(5),
	}
}

func personally(person string) audit.Identity {
	return audit.Identity{
		Issuer: "https://idp.acme.example/realms/acme", Principal: person, Roles: []string{"lead"},
		Token: strings.Repeat("cd", 32), Expires: at(30),
	}
}

func heldIntent() audit.Intent {
	until := at(15)
	in := audit.Intent{
		Tool: "payments.refund", Definition: strings.Repeat("ef", 32), Arguments: commitment(`{"amount":250}`),
		Identity: agentFor("alice"),
		Decision: audit.Decision{
			Effect: audit.Hold, PolicySet: strings.Repeat("01", 32),
			Reasons: []audit.Reason{{
				Policy: "big-refunds-need-two", Effect: "forbid", Link: `User::"alice"`, Text: "Refunds over 100 need two leads.",
			}},
			Errors: []string{"tool-budget: context.recent is missing"}, Approvers: []string{"lead"}, Expires: &until,
		},
		Client: "copilot/1.2", Protocol: "2026-07-28", IdempotencyKey: "refund-4711",
	}
	in.Digest = audit.CallDigest(in)
	return in
}

// everyEvent has one event of every type with every field of its data set.
func everyEvent() map[audit.Type]audit.Event {
	in := heldIntent()
	by := personally("bob")
	output := commitment(`{"ok":true}`)
	since := at(0)
	allow := audit.Decision{Effect: audit.Allow, PolicySet: in.Decision.PolicySet, Reasons: []audit.Reason{{Policy: "leads-approve", Effect: "permit"}}}
	deny := audit.Decision{Effect: audit.Deny, PolicySet: in.Decision.PolicySet, Reasons: []audit.Reason{{Policy: "none", Effect: "none", Link: `Agent::"copilot"`}}}
	vote := audit.Approval{Digest: in.Digest, By: by, Reason: "known customer", Decision: allow}
	refused := audit.Approval{Digest: in.Digest, By: agentFor("bob"), Decision: deny}
	outcome := func(code string) audit.Outcome { return audit.Outcome{Code: code, Reason: "in words", Millis: 12.5} }
	result := outcome(audit.CodeOK)
	result.Output = &output
	denied := audit.Outcome{Code: audit.CodePolicy, Reason: "no policy permits it", Decision: &deny, By: &by, Request: &in}
	before, until := at(1), at(60)
	data := map[audit.Type]any{
		audit.CallIntent: in, audit.CallApproval: vote, audit.CallVoteRefused: refused,
		audit.CallEdited: audit.Edit{
			Previous: in.Digest, Arguments: commitment(`{"amount":90}`), Digest: strings.Repeat("23", 32), By: by,
			Reason: "only what was broken", Permission: allow, Decision: in.Decision,
		},
		audit.CallReleased: audit.Release{Decision: allow, Approvals: []string{"019ab000-0000-7000-8000-000000000002"}, Digest: in.Digest},
		audit.CallResult:   result, audit.CallFailed: outcome(audit.CodeToolError), audit.CallDenied: denied,
		audit.CallExpired: outcome(audit.CodeExpired), audit.CallCancelled: outcome(audit.CodeClient), audit.CallUnknown: outcome(audit.CodeCrash),
		audit.CallReconciled:        audit.Reconciliation{Happened: true, By: by, Note: "the ledger has it"},
		audit.ReplicaStarted:        audit.Started{Version: "1.0.0", Key: "deed.acme.example+c0ffee00+key"},
		audit.PolicyActivated:       audit.Activation{PolicySet: in.Decision.PolicySet, Files: []string{"policy/refunds.cedar"}, Text: commitment("permit(principal, action, resource);")},
		audit.ToolPinned:            audit.Pin{Tool: in.Tool, Definition: in.Definition, Text: commitment(`{"name":"refund"}`)},
		audit.KeyRotated:            audit.Rotation{Old: "deed.acme.example+c0ffee00+old", New: "deed.acme.example+c0ffee01+new", Note: "note"},
		audit.TokenRejected:         audit.Rejection{Kind: "expired", Issuer: in.Identity.Issuer, Count: 3},
		audit.TreeSigned:            audit.Checkpoint{Log: "payments/calls", Size: 7, Note: "note"},
		audit.StatementKeyAnnounced: audit.StatementKey{ID: "kid", Public: "key", Source: "deed://acme/main", Retires: at(60), Note: "note"},
		audit.CallerRevoked: audit.Revocation{
			Kind: "chain", Issuer: in.Identity.Issuer, Value: "alice", Agents: []string{"sub-agent", "copilot"},
			IssuedBefore: &before, Until: &until, Reason: "it went wild", Via: "person", By: &by, Decision: &allow,
		},
		audit.RevocationLifted: audit.Lifting{Revocation: "019ab000-0000-7000-8000-000000000003", Reason: "mended", By: by, Decision: allow},
		audit.ControlRefused:   audit.Refusal{Action: "revoke", On: "agent copilot", By: agentFor("bob"), Decision: deny},
		audit.HistoryRead:      audit.Reading{What: audit.ReadSearch, For: "q=refund&since=2026-11-24T03:00:00Z", By: by},
		audit.GrantMade: audit.Grant{
			Call: "019ab000-0000-7000-8000-000000000001", Domain: "payments", Tool: in.Tool, Definition: in.Definition,
			Issuer: in.Identity.Issuer, Principal: "alice", Chain: []string{"sub-agent", "copilot"},
			Where: []audit.Condition{{Field: "/currency", Equals: json.RawMessage(`"EUR"`)}, {Field: "/amount", AtMost: "200"}, {Field: "/amount", AtLeast: "1"}},
			Uses:  5, Until: at(45), Reason: "the sale of last week", By: by, Decision: allow,
		},
		audit.PayloadsErased: audit.Erasure{
			Log: "payments/calls", From: 3, To: 9, Before: at(0), Except: []int64{4}, Scope: &audit.Scope{Call: "c", Session: "sid-1", Until: &since},
			Calls: []string{"c"}, Records: []audit.Places{{Log: "payments/calls", Indexes: []int64{3, 4}}}, Reason: "ticket 4711", By: &by, Decision: &allow,
		},
		audit.RecordsRemoved: audit.Removal{
			Log: "payments/calls", From: 0, To: 9, Before: at(0), Root: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
			Archive: "s3://acme-deed/payments-0-9", Reason: "retention 7y of domain payments",
		},
		audit.LogMoved: audit.Move{To: "pulsar://pulsar:6650, tenant acme", Logs: []audit.MovedLog{{Log: "payments/calls", Size: 9, Note: "note"}}, Archive: "/mnt/archive/moved"},
		audit.LegalHoldPlaced: audit.LegalHold{
			Scope: audit.Scope{Principal: "alice", Agent: "copilot", Domain: "payments", Since: &since}, Reason: "case 17", By: by, Decision: allow,
		},
		audit.LegalHoldLifted: audit.LegalHoldEnd{Hold: "019ab000-0000-7000-8000-000000000003", Reason: "the case is closed", By: by, Decision: allow},
		audit.GrantUsed:       audit.GrantUse{Grant: "019ab000-0000-7000-8000-000000000003", CallID: "019ab000-0000-7000-8000-000000000004", Digest: in.Digest},
		audit.GrantEnded:      audit.GrantEnd{Grant: "019ab000-0000-7000-8000-000000000003", By: by, Reason: "the sale is over", Decision: allow},
	}
	topics := map[audit.Type]string{
		audit.StatementKeyAnnounced: audit.TopicControl, audit.CallerRevoked: audit.TopicControl, audit.RevocationLifted: audit.TopicControl, audit.ControlRefused: audit.TopicControl, audit.HistoryRead: audit.TopicControl,
		audit.ReplicaStarted: audit.TopicControl, audit.PolicyActivated: audit.TopicControl, audit.ToolPinned: audit.TopicControl,
		audit.PayloadsErased: audit.TopicControl, audit.RecordsRemoved: audit.TopicControl, audit.LogMoved: audit.TopicControl, audit.LegalHoldPlaced: audit.TopicControl, audit.LegalHoldLifted: audit.TopicControl,
		audit.GrantMade: audit.TopicControl, audit.GrantUsed: audit.TopicControl, audit.GrantEnded: audit.TopicControl,
		audit.KeyRotated: audit.TopicControl, audit.TokenRejected: audit.TopicRejections, audit.TreeSigned: audit.TopicCheckpoints,
	}
	events := make(map[audit.Type]audit.Event, len(data))
	for typ, d := range data {
		e := validEvent()
		e.Type = typ
		if topic, own := topics[typ]; own {
			e.Domain, e.Topic, e.Subject = audit.OwnDomain, topic, ""
		} else {
			expires := at(5)
			e.Principal, e.Actor, e.TokenExpires = "alice", "sub-agent", &expires
			e.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		}
		e.Data, _ = json.Marshal(d) // structs of strings always marshal
		events[typ] = e
	}
	return events
}

// Histories of years ago must stay readable: a change of these files is a change
// of the format, and needs a new version of the event's type.
func TestStoredFormOfEveryEventStaysAsItIs(t *testing.T) {
	t.Parallel()
	for typ, e := range everyEvent() {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			stored, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := json.Marshal(e); err != nil || !bytes.Equal(plain, stored) {
				t.Errorf("encoded as\n%s\nand by encoding/json (%v) as\n%s", stored, err, plain)
			}
			var shown bytes.Buffer
			if err := json.Indent(&shown, stored, "", "  "); err != nil {
				t.Fatal(err)
			}
			shown.WriteByte('\n')
			golden := filepath.Join("testdata", "events", string(typ)+".json")
			if *update {
				if err := os.WriteFile(golden, shown.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), shown.String()); diff != "" {
				t.Error(diff)
			}
			got, err := audit.ParseEvent(want)
			if err != nil {
				t.Fatal(err)
			}
			got.Data = compact(t, got.Data)
			if diff := cmp.Diff(e, got); diff != "" {
				t.Errorf("golden file reads differently: %s", diff)
			}
		})
	}
}

func TestDataOfEveryEventReadsBackWhole(t *testing.T) {
	t.Parallel()
	for typ, e := range everyEvent() {
		var got any
		var err error
		switch typ {
		case audit.CallIntent:
			got, err = audit.DataOf[audit.Intent](e)
		case audit.CallApproval, audit.CallVoteRefused:
			got, err = audit.DataOf[audit.Approval](e)
		case audit.CallEdited:
			got, err = audit.DataOf[audit.Edit](e)
		case audit.CallReleased:
			got, err = audit.DataOf[audit.Release](e)
		case audit.CallResult, audit.CallFailed, audit.CallDenied, audit.CallExpired, audit.CallCancelled, audit.CallUnknown:
			got, err = audit.DataOf[audit.Outcome](e)
		case audit.CallReconciled:
			got, err = audit.DataOf[audit.Reconciliation](e)
		case audit.ReplicaStarted:
			got, err = audit.DataOf[audit.Started](e)
		case audit.PolicyActivated:
			got, err = audit.DataOf[audit.Activation](e)
		case audit.ToolPinned:
			got, err = audit.DataOf[audit.Pin](e)
		case audit.KeyRotated:
			got, err = audit.DataOf[audit.Rotation](e)
		case audit.StatementKeyAnnounced:
			got, err = audit.DataOf[audit.StatementKey](e)
		case audit.CallerRevoked:
			got, err = audit.DataOf[audit.Revocation](e)
		case audit.RevocationLifted:
			got, err = audit.DataOf[audit.Lifting](e)
		case audit.ControlRefused:
			got, err = audit.DataOf[audit.Refusal](e)
		case audit.HistoryRead:
			got, err = audit.DataOf[audit.Reading](e)
		case audit.TokenRejected:
			got, err = audit.DataOf[audit.Rejection](e)
		case audit.PayloadsErased:
			got, err = audit.DataOf[audit.Erasure](e)
		case audit.LogMoved:
			got, err = audit.DataOf[audit.Move](e)
		case audit.RecordsRemoved:
			got, err = audit.DataOf[audit.Removal](e)
		case audit.LegalHoldPlaced:
			got, err = audit.DataOf[audit.LegalHold](e)
		case audit.LegalHoldLifted:
			got, err = audit.DataOf[audit.LegalHoldEnd](e)
		case audit.GrantMade:
			got, err = audit.DataOf[audit.Grant](e)
		case audit.GrantUsed:
			got, err = audit.DataOf[audit.GrantUse](e)
		case audit.GrantEnded:
			got, err = audit.DataOf[audit.GrantEnd](e)
		case audit.TreeSigned:
			got, err = audit.DataOf[audit.Checkpoint](e)
		}
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(e.Data), string(again)); diff != "" {
			t.Errorf("%s: %s", typ, diff)
		}
	}
}
