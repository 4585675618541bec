package audit

import "time"

// StatementKeyAnnounced says which key signs statements of calls from here on: see package statement.
const StatementKeyAnnounced Type = "dev.deed.control.statement-key.v1" // data: StatementKey

// StatementKey is the public half of a key that signs statements.
type StatementKey struct {
	ID      string    `json:"kid"`     // its thumbprint (RFC 7638)
	Public  string    `json:"x"`       // Ed25519, base64url (RFC 8037)
	Source  string    `json:"source"`  // the replica that has it
	Retires time.Time `json:"retires"` // after which it signs nothing
	Note    string    `json:"note"`    // a signed note over all that, by the key that seals the log
}
