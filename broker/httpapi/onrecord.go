package httpapi

import (
	"bytes"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
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

// Shown is the sentence in which a call was put to a person who decided on it.
type Shown struct {
	By       string `json:"by"`
	Template string `json:"template"`       // its version
	Text     string `json:"text,omitempty"` // if the sentence of now is the one on record
}

// shown tells what those saw who decided on a call with these arguments.
func (a *api) shown(c calls.Call, args audit.Payload) []Shown {
	all := []Shown{}
	tell := func(by audit.Identity, shown *audit.Shown) {
		if shown != nil {
			text, _ := a.cfg.Broker.Told(c, args, *shown)
			all = append(all, Shown{By: by.Principal, Template: shown.Template, Text: text})
		}
	}
	for _, v := range c.Votes {
		tell(v.By, v.Shown)
	}
	if c.Outcome.By != nil {
		tell(*c.Outcome.By, c.Outcome.Shown)
	}
	return all
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
