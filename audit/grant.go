package audit

import (
	"encoding/json"
	"time"
)

// The events of grants. They stand in control.
const (
	GrantMade  Type = "dev.deed.control.granted.v1"       // data: Grant; its id is that of the grant
	GrantUsed  Type = "dev.deed.control.grant-used.v1"    // data: GrantUse
	GrantEnded Type = "dev.deed.control.grant-revoked.v1" // data: GrantEnd
)

// Grant is a person's approval, in advance, of calls like one that they have seen: of
// the same tool as it was then, by the same agents for the same person, with
// arguments that fulfil every condition. It counts as that person's approval of the
// first Uses such calls until Until, and of no more.
type Grant struct {
	Call       string      `json:"call"` // the held call that it was made from
	Domain     string      `json:"domain"`
	Tool       string      `json:"tool"`       // upstream.tool
	Definition string      `json:"definition"` // hex SHA-256; another definition is not granted
	Issuer     string      `json:"issuer"`
	Principal  string      `json:"principal,omitempty"`
	Chain      []string    `json:"chain,omitempty"` // the agents' ids, the current actor first
	Where      []Condition `json:"where,omitempty"`
	Uses       int         `json:"uses"`
	Until      time.Time   `json:"until"`
	Reason     string      `json:"reason,omitempty"`
	By         Identity    `json:"by"`
	Decision   Decision    `json:"decision"` // that let this person make it
}

// Condition is about one argument. Exactly one of Equals, AtMost and AtLeast is set.
type Condition struct {
	Field   string          `json:"field"`              // JSON pointer (RFC 6901) into the arguments
	Equals  json.RawMessage `json:"equals,omitempty"`   // any JSON value
	AtMost  string          `json:"at_most,omitempty"`  // a bound of a number, inclusive, as JSON writes numbers
	AtLeast string          `json:"at_least,omitempty"` // the same, from below
}

// GrantUse takes one use of a grant for a call. It stands before the approval that it
// pays for; of more uses than were granted the first in the order of the log count.
type GrantUse struct {
	Grant  string `json:"grant"`
	CallID string `json:"call_id"`
	Digest string `json:"digest"` // the call digest
}

// GrantEnd takes a grant back.
type GrantEnd struct {
	Grant    string   `json:"grant"`
	By       Identity `json:"by"`
	Reason   string   `json:"reason,omitempty"`
	Decision Decision `json:"decision"`
}
