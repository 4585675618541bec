package audit

import "fmt"

// Mismatch is one thing about a record that its event contradicts, or that no honest
// broker writes. It tells of a foreign or misrouted message, and proves nothing about
// who did it.
type Mismatch struct {
	Rule     MismatchRule `json:"rule"`
	Topic    string       `json:"topic"`   // where the message is, in full
	Message  string       `json:"message"` // its id there
	Expected string       `json:"expected,omitempty"`
	Found    string       `json:"found,omitempty"`
}

// MismatchRule names what is wrong.
type MismatchRule string

// The rules.
const (
	MismatchEvent    MismatchRule = "event"    // the message is no event
	MismatchPlace    MismatchRule = "place"    // its event says another tenant, domain or topic
	MismatchKey      MismatchRule = "key"      // its key is not the call's, or belongs in another partition
	MismatchEnvelope MismatchRule = "envelope" // a property differs from the event, or is missing
	MismatchProducer MismatchRule = "producer" // who published it is not the replica that its event names
	MismatchSequence MismatchRule = "sequence" // its producer's messages skip, or come twice
	MismatchIndex    MismatchRule = "index"    // records of the log are missing before it
	MismatchExpired  MismatchRule = "expired"  // the token had expired when it was written
	MismatchBatch    MismatchRule = "batch"    // it came in a batch, which brokers never do
	MismatchSchema   MismatchRule = "schema"   // it says another type or schema than events have
)

// String is the mismatch as one line.
func (m Mismatch) String() string {
	s := fmt.Sprintf("%s %s: %s", m.Topic, m.Message, m.Rule)
	if m.Expected != "" {
		s += ": expected " + m.Expected
	}
	if m.Found != "" {
		s += ": found " + m.Found
	}
	return s
}
