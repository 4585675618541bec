package notify

import (
	"fmt"
	"strings"
	"time"
)

// State is what has become of a held call, as far as people are told.
type State string

// The states.
const (
	Held      State = "held"
	Approved  State = "approved"
	Denied    State = "denied"
	Expired   State = "expired"
	Cancelled State = "cancelled"
	Unknown   State = "unknown" // approved, and nobody knows what came of it

	// Test is of a message about no call.
	Test State = "test"
)

// Message is what people are told. Its texts are of one line each, and harmless.
type Message struct {
	ID     string // the same however often it is sent
	Thread string // the same for all messages about a call on a channel
	First  string // in a follow-up, the ID of the message that it follows; empty in that one
	State  State
	Time   time.Time
	Late   bool // the hold goes on to others because nobody has decided yet

	CallID    string
	Tool      string // upstream.tool
	Domain    string
	Sentence  string // the call in words
	Principal string // on whose behalf; empty when an agent acts on its own
	Agents    []string
	Approvers []string  // the roles that the hold waits for; none: whoever may approve
	Deadline  time.Time // of the hold
	Outcome   string    // in words, of a call that is decided
	Link      string    // to the call's card; in a digest to all of them

	Digest []Message // several in one, which is otherwise empty but for ID, Time and Link
}

// Title is what the message is about.
func (m Message) Title() string {
	switch {
	case len(m.Digest) > 0:
		return digestTitle(m.Digest)
	case m.State == Test:
		return "A test message from Deed"
	case m.State == Held && m.Late:
		return "Still waiting for approval: " + m.Tool
	case m.State == Held:
		return "Approval needed: " + m.Tool
	default:
		return m.Outcome + ": " + m.Tool
	}
}

func digestTitle(all []Message) string {
	waiting := 0
	for _, m := range all {
		if m.State == Held {
			waiting++
		}
	}
	var parts []string
	if waiting > 0 {
		parts = append(parts, count(waiting, "call waits", "calls wait")+" for approval")
	}
	if decided := len(all) - waiting; decided > 0 {
		parts = append(parts, count(decided, "call is", "calls are")+" decided")
	}
	return strings.Join(parts, ", ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// By says who asks, for whom: copilot for alice.
func (m Message) By() string {
	agents := strings.Join(m.Agents, " for ")
	switch {
	case m.Principal == "":
		return agents
	case agents == "":
		return m.Principal
	default:
		return agents + " for " + m.Principal
	}
}

// WaitsFor says whom the hold waits for, and until when.
func (m Message) WaitsFor() string {
	whom := "whoever may approve"
	if len(m.Approvers) > 0 {
		whom = strings.Join(m.Approvers, " or ")
	}
	return fmt.Sprintf("Waits for %s until %s.", whom, at(m.Deadline))
}

// Text is the message as lines, without its title.
func (m Message) Text() string {
	var b strings.Builder
	switch {
	case len(m.Digest) > 0:
		for i, one := range m.Digest {
			if i == maxInDigest {
				fmt.Fprintf(&b, "… and %d more.\n", len(m.Digest)-i)
				break
			}
			fmt.Fprintf(&b, "%s: %s\n", one.Title(), one.Sentence)
		}
	case m.State == Test:
		b.WriteString("This channel works.\n")
	case m.State == Held:
		fmt.Fprintf(&b, "%s\nAsked by %s. %s\n", m.Sentence, m.By(), m.WaitsFor())
	default:
		fmt.Fprintf(&b, "%s\nAsked by %s. %s at %s.\n", m.Sentence, m.By(), m.Outcome, at(m.Time))
	}
	return b.String()
}

// maxInDigest is how many calls a digest tells one by one.
const maxInDigest = 20

func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
