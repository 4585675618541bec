package pack

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
)

// Format is what a manifest calls the form of its pack.
const Format = "deed evidence v1"

// Manifest says what is in a pack. Nothing rests on it: what it says about records
// is proved by the checkpoints, or found out.
type Manifest struct {
	Format   string    `json:"format"`
	Tenant   string    `json:"tenant"`
	Made     time.Time `json:"made"`
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Keys     []string  `json:"keys"`     // that signed, the first one first
	Payloads bool      `json:"payloads"` // whether arguments and results are there
	Logs     []Part    `json:"logs"`     // in the order in which they are to be read
}

// Part is the part of a log that is in a pack: records From to To-1.
type Part struct {
	Log    string      `json:"log"`
	From   int64       `json:"from"`
	To     int64       `json:"to"`
	Before []tlog.Hash `json:"before,omitempty"` // roots of the complete subtrees before From, the largest first
}

// Names in a pack.
const (
	manifestName = "manifest.json"
	readmeName   = "README.md"
	scriptName   = "verify.py"
)

func recordsName(log string) string  { return "logs/" + log + ".ndjson" }
func payloadsName(log string) string { return "payloads/" + log + ".ndjson" }

var logName = regexp.MustCompile(`^[A-Za-z0-9._=-]+/[A-Za-z0-9._=-]+$`)

func (m Manifest) valid() error {
	if m.Format != Format {
		return fmt.Errorf("its form is %.40q: this program reads %q", m.Format, Format)
	}
	seen := map[string]bool{}
	for _, p := range m.Logs {
		if !logName.MatchString(p.Log) || strings.Contains(p.Log, "..") || seen[p.Log] || p.From < 0 || p.To < p.From {
			return fmt.Errorf("it lists a log %.80q, %d to %d", p.Log, p.From, p.To)
		}
		seen[p.Log] = true
	}
	return nil
}

// payloadLine is a payload as a pack holds it. One that is not there says why.
type payloadLine struct {
	Index     int64  `json:"index"`
	Name      string `json:"name"`
	MediaType string `json:"mediatype,omitempty"`
	Salt      []byte `json:"salt,omitempty"`
	Body      []byte `json:"body,omitempty"`
	Erased    bool   `json:"erased,omitempty"`
}

func (l payloadLine) payload() (audit.Payload, error) {
	if l.Erased {
		return audit.Payload{}, audit.ErrErased
	}
	return audit.Payload{Name: l.Name, MediaType: l.MediaType, Salt: l.Salt, Body: l.Body}, nil
}
