package audit

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

// The names of payloads that events of calls carry.
const (
	PayloadArguments  = "arguments"
	PayloadOutput     = "output"
	PayloadPolicy     = "policy"
	PayloadDefinition = "definition"
	// PayloadJustification is why an agent says that it makes a call: a JSON string.
	PayloadJustification = "justification"
)

// SaltBytes is the length of a payload's salt.
const SaltBytes = 16

// Attached is a record with the payloads that stand beside it. One without a salt was erased.
type Attached struct {
	Record   Record
	Payloads []Payload
}

// Payload is data stored beside an event. The salt keeps its commitment from
// being guessed once the payload is erased.
type Payload struct {
	Name      string
	MediaType string
	Salt      []byte
	Body      []byte
}

// Commitment stands in an event for a payload that is stored apart.
type Commitment struct {
	Digest    string `json:"sha256"` // hex SHA-256 of salt and body
	Size      int64  `json:"size"`   // of the body, in bytes
	MediaType string `json:"mediatype"`
}

// NewPayload makes a payload of JSON under a fresh salt.
func NewPayload(name string, body []byte) Payload {
	salt := make([]byte, SaltBytes)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return Payload{Name: name, MediaType: "application/json", Salt: salt, Body: body}
}

// Commitment computes what an event says of p.
func (p Payload) Commitment() Commitment {
	h := sha256.New()
	h.Write(p.Salt)
	h.Write(p.Body)
	return Commitment{Digest: hex.EncodeToString(h.Sum(nil)), Size: int64(len(p.Body)), MediaType: p.MediaType}
}

// Matches reports whether p is the payload that c commits to.
func (c Commitment) Matches(p Payload) bool {
	return len(p.Salt) == SaltBytes && c.Size == int64(len(p.Body)) &&
		subtle.ConstantTimeCompare([]byte(c.Digest), []byte(p.Commitment().Digest)) == 1
}
