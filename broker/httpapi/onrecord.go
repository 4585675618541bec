package httpapi

import (
	"bytes"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
)

// Proofs are what it takes to check what is shown of a call against the commitments in its
// events: of each payload that the viewer is shown, and of no other.
type Proofs struct {
	Arguments     *OnRecord `json:"arguments,omitempty"`
	Asked         *OnRecord `json:"asked,omitempty"`
	Output        *OnRecord `json:"output,omitempty"`
	Justification *OnRecord `json:"justification,omitempty"`
}

// OnRecord is a payload as its event commits to it: by the SHA-256 over salt and body.
// Who has the payload learns nothing more by its salt.
type OnRecord struct {
	Salt []byte `json:"salt"`
	// Body is left out where what is shown is the payload byte for byte: JSON within JSON
	// loses its white space, and what is not UTF-8.
	Body []byte `json:"body,omitempty"`
}

// proofOf is what it takes to check a payload; nothing where there is none.
func proofOf(p audit.Payload) *OnRecord {
	if p.Body == nil || p.Salt == nil {
		return nil
	}
	shown, err := json.Marshal(jsontext.Value(p.Body), encoding())
	if err == nil && bytes.Equal(shown, p.Body) && utf8.Valid(p.Body) {
		return &OnRecord{Salt: p.Salt}
	}
	return &OnRecord{Salt: p.Salt, Body: p.Body}
}
