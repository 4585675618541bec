package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

// Type is the CloudEvents type of an event; its last part is the version of the data.
type Type string

// The events of a call, in the order in which they can occur. [Type.Closes]
// tells which of them end it.
const (
	CallIntent      Type = "dev.deed.call.intent.v1"       // data: Intent
	CallApproval    Type = "dev.deed.call.approval.v1"     // data: Approval
	CallVoteRefused Type = "dev.deed.call.vote-refused.v1" // data: Approval; changes nothing
	CallEdited      Type = "dev.deed.call.edited.v1"       // data: Edit
	CallReleased    Type = "dev.deed.call.released.v1"     // data: Release
	CallResult      Type = "dev.deed.call.result.v1"       // data: Outcome
	CallFailed      Type = "dev.deed.call.failed.v1"       // data: Outcome
	CallDenied      Type = "dev.deed.call.denied.v1"       // data: Outcome
	CallExpired     Type = "dev.deed.call.expired.v1"      // data: Outcome
	CallCancelled   Type = "dev.deed.call.cancelled.v1"    // data: Outcome
	CallUnknown     Type = "dev.deed.call.unknown.v1"      // data: Outcome
	CallReconciled  Type = "dev.deed.call.reconciled.v1"   // data: Reconciliation
)

// The events that concern no single call.
const (
	ReplicaStarted  Type = "dev.deed.control.started.v1" // data: Started
	PolicyActivated Type = "dev.deed.control.policy.v1"  // data: Activation
	ToolPinned      Type = "dev.deed.control.tool.v1"    // data: Pin
	KeyRotated      Type = "dev.deed.control.key.v1"     // data: Rotation
	TokenRejected   Type = "dev.deed.rejection.v1"       //nolint:gosec // data: Rejection
	TreeSigned      Type = "dev.deed.checkpoint.v1"      // data: Checkpoint
)

// Word is what is between the type's prefix and its version: "result" of
// dev.deed.call.result.v1.
func (t Type) Word() string {
	return strings.TrimSuffix(strings.TrimPrefix(string(t), "dev.deed.call."), ".v1")
}

// Closes reports whether an event of this type ends its call. A reconciliation
// comes after the end: it settles a call that was closed as unknown.
func (t Type) Closes() bool {
	switch t {
	case CallResult, CallFailed, CallDenied, CallExpired, CallCancelled, CallUnknown:
		return true
	default:
		return false
	}
}

// The topics of a domain, and the domain that is the broker's own.
const (
	TopicCalls       = "calls"
	TopicControl     = "control"
	TopicRejections  = "rejections"
	TopicCheckpoints = "checkpoints"

	// OwnDomain holds control, rejections and checkpoints, and the calls that
	// reached no upstream's domain (an unknown tool, the broker's own tools).
	OwnDomain = "deed"
)

// MaxEventBytes bounds an event without its payloads.
const MaxEventBytes = 256 << 10

// Event is the CloudEvents 1.0 envelope of one thing that happened. Extension
// attributes repeat who, where and until when in the clear, so that a consumer
// can tell a misrouted message without understanding its data.
type Event struct {
	SpecVersion     string          `json:"specversion"` // "1.0"
	ID              string          `json:"id"`          // UUIDv7, unique
	Type            Type            `json:"type"`
	Source          string          `json:"source"`            // the replica that wrote it: deed://tenant/replica
	Subject         string          `json:"subject,omitempty"` // the call id
	Time            time.Time       `json:"time"`              // UTC
	DataContentType string          `json:"datacontenttype"`   // application/json
	Tenant          string          `json:"tenant"`
	Domain          string          `json:"domain"`
	Topic           string          `json:"topic"`
	Principal       string          `json:"principal,omitempty"`
	Actor           string          `json:"actor,omitempty"`
	TokenExpires    *time.Time      `json:"tokenexpires,omitempty"`
	TraceParent     string          `json:"traceparent,omitempty"` // W3C Trace Context
	Statement       string          `json:"statement,omitempty"`   // signed, of who makes the call: see package statement
	Data            json.RawMessage `json:"data"`

	// Payloads are stored with the event but outside it; data commits to each.
	Payloads []Payload `json:"-"`

	// Quiet says that nobody waits to read the event: those who follow the log may learn
	// of it a moment later, with others. It is not stored.
	Quiet bool `json:"-"`
}

// LogName is the partition that the event belongs to, such as "payments/calls".
func (e Event) LogName() string { return e.Domain + "/" + e.Topic }

// Validate says what makes the event unfit for a log.
func (e Event) Validate() error {
	switch {
	case e.SpecVersion != "1.0":
		return errors.New("specversion is not 1.0")
	case e.ID == "", e.Type == "", e.Source == "", e.Tenant == "", e.Domain == "", e.Topic == "":
		return errors.New("an attribute is missing: id, type, source, tenant, domain and topic are required")
	case e.Topic == TopicCalls && e.Subject == "":
		return errors.New("subject is missing: an event about a call names it")
	case e.Time.IsZero() || e.Time.Location() != time.UTC:
		return errors.New("time is missing or not UTC")
	case len(e.Data) == 0:
		return errors.New("data is missing")
	}
	return nil
}

// ParseEvent reads the stored bytes of an event. Attributes that it does not know are
// kept out silently: a later version may add some. What two readers could read
// differently, a name that occurs twice or a text that is not UTF-8, is an error.
func ParseEvent(stored []byte) (Event, error) {
	var e Event
	if err := jsonv2.Unmarshal(stored, &e); err != nil {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	e.Time = e.Time.UTC()
	if err := e.Validate(); err != nil {
		return Event{}, fmt.Errorf("parse event: %w", err)
	}
	return e, nil
}

// DataOf decodes the event's data as the type that belongs to its [Type].
func DataOf[T any](e Event) (T, error) {
	var v T
	if err := jsonv2.Unmarshal(e.Data, &v); err != nil {
		return v, fmt.Errorf("decode data of %s %s: %w", e.Type, e.ID, err)
	}
	return v, nil
}
