package audittest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
)

// What the events of this package say, unless they are changed afterwards.
const (
	Tenant = "acme"
	Domain = "payments"
	Source = "deed://acme/test"
	Tool   = "payments.refund"
)

// NewID makes an id as calls and events have them.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// NewEvent makes a valid event of the call named by subject. An event without a
// subject belongs to the broker's own control log, a checkpoint to the
// checkpoints. It panics if data has no JSON.
func NewEvent(kind audit.Type, subject string, data any, payloads ...audit.Payload) audit.Event {
	raw, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("audittest: data of %s: %v", kind, err))
	}
	e := audit.Event{
		SpecVersion: "1.0", ID: NewID(), Type: kind, Source: Source, Subject: subject,
		Time: time.Now().UTC(), DataContentType: "application/json", Tenant: Tenant,
		Domain: Domain, Topic: audit.TopicCalls, Data: raw, Payloads: payloads,
	}
	switch {
	case kind == audit.TreeSigned:
		e.Domain, e.Topic = audit.OwnDomain, audit.TopicCheckpoints
	case kind == audit.TokenRejected:
		e.Domain, e.Topic = audit.OwnDomain, audit.TopicRejections
	case subject == "":
		e.Domain, e.Topic = audit.OwnDomain, audit.TopicControl
	default:
		e.Principal, e.Actor = "alice", "copilot"
	}
	return e
}

// Identity is alice, through the agent copilot.
func Identity() audit.Identity {
	return audit.Identity{ //nolint:gosec // the digest of a token that never was
		Issuer: "https://idp.acme.example", Principal: "alice",
		Chain: []audit.Actor{{ID: "copilot", Roles: []string{"assistant"}}},
		Roles: []string{"support"}, Scopes: []string{"openid"},
		Token:   "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
	}
}

// Intent is the allowed intent of a call, with its arguments (JSON) as payload.
func Intent(callID, arguments string) audit.Event {
	payload := audit.NewPayload(audit.PayloadArguments, []byte(arguments))
	intent := audit.Intent{
		Tool: Tool, Definition: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
		Arguments: payload.Commitment(), Identity: Identity(),
		Decision: audit.Decision{
			Effect: audit.Allow, PolicySet: "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
			Reasons: []audit.Reason{{Policy: "support-may-refund", Effect: "permit", Link: `User::"alice"`}},
		},
		Client: "audittest", Protocol: "2025-11-25",
	}
	intent.Digest = audit.CallDigest(intent)
	return NewEvent(audit.CallIntent, callID, intent, payload)
}

// Result closes a call with what its tool answered (JSON) as payload.
func Result(callID, output string) audit.Event {
	payload := audit.NewPayload(audit.PayloadOutput, []byte(output))
	commitment := payload.Commitment()
	return NewEvent(audit.CallResult, callID, audit.Outcome{Code: audit.CodeOK, Output: &commitment, Millis: 1.5}, payload)
}

// Denied closes a call that policy refused.
func Denied(callID string) audit.Event {
	return NewEvent(audit.CallDenied, callID, audit.Outcome{Code: audit.CodePolicy, Reason: "no policy permits it"})
}
