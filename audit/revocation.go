package audit

import "time"

// The events by which callers are stopped, and let go on. They stand in control.
const (
	CallerRevoked    Type = "dev.deed.control.revoked.v1" // data: Revocation
	RevocationLifted Type = "dev.deed.control.lifted.v1"  // data: Lifting
	ControlRefused   Type = "dev.deed.control.refused.v1" // data: Refusal; changes nothing
)

// Revocation stops, from here on, every caller that it names, whatever their tokens say.
type Revocation struct {
	Kind   string   `json:"kind"`             // agent, principal, token, session, chain or key
	Issuer string   `json:"issuer,omitempty"` // empty: of any issuer
	Value  string   `json:"value"`            // agent or principal as events have them; jti or hex SHA-256 of a token; sid; kid
	Agents []string `json:"agents,omitempty"` // of a chain: those who act for the principal Value, the current actor first
	// IssuedBefore limits it to tokens issued before that moment: a logout ends what
	// was, and the next login is free.
	IssuedBefore *time.Time `json:"issued_before,omitempty"`
	Until        *time.Time `json:"until,omitempty"` // nil: until it is lifted
	Reason       string     `json:"reason"`
	Via          string     `json:"via"`                // person, or the channel by which an issuer asked for it
	By           *Identity  `json:"by,omitempty"`       // the person
	Decision     *Decision  `json:"decision,omitempty"` // that let this person do it
}

// Lifting ends a revocation.
type Lifting struct {
	Revocation string   `json:"revocation"` // id of its event
	Reason     string   `json:"reason"`
	By         Identity `json:"by"`
	Decision   Decision `json:"decision"`
}

// Refusal says that somebody asked for what they may not do.
type Refusal struct {
	Action   string   `json:"action"`
	On       string   `json:"on"` // in words
	By       Identity `json:"by"`
	Decision Decision `json:"decision"`
}
