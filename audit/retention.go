package audit

import (
	"strings"
	"time"
)

// PayloadsErased stands in control: payloads have outlived their retention, or somebody
// asked for them to be erased. Their commitments, and every proof, stay.
const PayloadsErased Type = "dev.deed.control.payloads-erased.v1" // data: Erasure

// Erasure says of which records the payloads are erased. It is written before they are.
type Erasure struct {
	Log    string    `json:"log,omitempty"`    // that has outlived its retention, in part
	From   int64     `json:"from"`             // index of its first record
	To     int64     `json:"to"`               // index of the first that keeps its payloads
	Before time.Time `json:"before,omitzero"`  // what is older has outlived its retention
	Except []int64   `json:"except,omitempty"` // indexes in between that keep theirs: of calls under a legal hold, or that are open

	Scope    *Scope    `json:"scope,omitempty"`   // what a person asked to erase
	Calls    []string  `json:"calls,omitempty"`   // the calls of this event that are in it
	Records  []Places  `json:"records,omitempty"` // where these stand
	Reason   string    `json:"reason,omitempty"`
	By       *Identity `json:"by,omitempty"`
	Decision *Decision `json:"decision,omitempty"` // that let this person erase
}

// Places are some records of a log.
type Places struct {
	Log     string  `json:"log"`
	Indexes []int64 `json:"indexes"`
}

// RecordsRemoved stands in control: records have outlived their domain's retention. Their
// hashes, and so every proof of what is left, stay.
const RecordsRemoved Type = "dev.deed.control.records-removed.v1" // data: Removal

// Removal says which records of a log are removed: the oldest. It is written before they
// are. No call is cut by it, and all of them are sealed.
type Removal struct {
	Log     string    `json:"log"`
	From    int64     `json:"from"`              // index of its first record
	To      int64     `json:"to"`                // index of the first that stays
	Before  time.Time `json:"before"`            // what is older has outlived its retention
	Root    string    `json:"root"`              // of the tree of all records before To, base64
	Archive string    `json:"archive,omitempty"` // where they were put before
	Reason  string    `json:"reason"`
}

// The events of legal holds. They stand in control.
const (
	LegalHoldPlaced Type = "dev.deed.control.legal-hold.v1"        // data: LegalHold; its id is that of the hold
	LegalHoldLifted Type = "dev.deed.control.legal-hold-lifted.v1" // data: LegalHoldEnd
)

// LegalHold keeps what is in its scope from retention and erasure until it is lifted.
type LegalHold struct {
	Scope    Scope    `json:"scope"`
	Reason   string   `json:"reason"`
	By       Identity `json:"by"`
	Decision Decision `json:"decision"`
}

// LegalHoldEnd lifts a legal hold.
type LegalHoldEnd struct {
	Hold     string   `json:"hold"` // id of its event
	Reason   string   `json:"reason"`
	By       Identity `json:"by"`
	Decision Decision `json:"decision"`
}

// Scope says which calls something is about: those that fit all that is set.
type Scope struct {
	Call      string     `json:"call,omitempty"`      // its id
	Principal string     `json:"principal,omitempty"` // on whose behalf
	Agent     string     `json:"agent,omitempty"`     // anywhere in the chain
	Session   string     `json:"session,omitempty"`   // at the identity provider
	Domain    string     `json:"domain,omitempty"`
	Since     *time.Time `json:"since,omitempty"` // opened at or after
	Until     *time.Time `json:"until,omitempty"` // opened before
}

// Empty reports whether nothing is set, which would fit every call.
func (s Scope) Empty() bool { return s == Scope{} }

// Covers reports whether a call of this id, in this domain, by this caller and opened
// at this moment is in the scope.
func (s Scope) Covers(call, domain string, who Identity, opened time.Time) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return is(s.Call, call) && is(s.Principal, who.Principal) && is(s.Session, who.Session) && is(s.Domain, domain) &&
		(s.Agent == "" || acts(s.Agent, who.Chain)) &&
		(s.Since == nil || !opened.Before(*s.Since)) && (s.Until == nil || opened.Before(*s.Until))
}

func acts(agent string, chain []Actor) bool {
	for _, a := range chain {
		if a.ID == agent {
			return true
		}
	}
	return false
}

// String is the scope in words.
func (s Scope) String() string {
	var words []string
	say := func(word, value string) {
		if value != "" {
			words = append(words, word+" "+value)
		}
	}
	at := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	say("call", s.Call)
	say("principal", s.Principal)
	say("agent", s.Agent)
	say("session", s.Session)
	say("domain", s.Domain)
	say("since", at(s.Since))
	say("until", at(s.Until))
	if len(words) == 0 {
		return "everything"
	}
	return strings.Join(words, ", ")
}
