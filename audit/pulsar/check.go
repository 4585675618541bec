package pulsar

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Tolerances of checks.
const (
	clockSkew  = 2 * time.Minute // between the brokers' clocks and Pulsar's
	maxRuns    = 4096            // whose numbers are remembered in one partition
	shownBytes = 200             // of what a stranger wrote
)

// checker compares the messages of one partition with their events, in their order.
type checker struct {
	place      place
	partitions int // of the topic
	tenant     string

	last int64            // index of the message before; -1 at first
	next map[string]int64 // the number that a run goes on with
}

func newChecker(p place, partitions int, after int64) *checker {
	return &checker{place: p, partitions: partitions, tenant: p.tenant, last: after, next: map[string]int64{}}
}

// check says what is wrong with a message. Event is what its payload says, or eventErr
// why it says nothing.
func (c *checker) check(m received, e audit.Event, eventErr error) (found []audit.Mismatch) {
	add := func(rule audit.MismatchRule, expected, got string) {
		found = append(found, audit.Mismatch{Rule: rule, Topic: c.place.name, Message: m.id.String(), Expected: clip(expected), Found: clip(got)})
	}
	c.checkIndex(m, add)
	if m.batch {
		add(audit.MismatchBatch, "a message of its own", "one of a batch")
	}
	c.checkRun(m, add)
	if eventErr != nil {
		add(audit.MismatchEvent, "an event", eventErr.Error())
		return found
	}
	c.checkPlace(m, e, add)
	checkEnvelope(m, e, add)
	if e.Type == audit.CallIntent && e.TokenExpires != nil {
		if written := later(e.Time, m.at.Add(-clockSkew)); e.TokenExpires.Before(written.Add(-clockSkew)) {
			add(audit.MismatchExpired, "a token that is valid at "+written.Format(time.RFC3339), "one until "+e.TokenExpires.Format(time.RFC3339))
		}
	}
	return found
}

type adder = func(rule audit.MismatchRule, expected, found string)

func (c *checker) checkIndex(m received, add adder) {
	if c.last >= 0 && m.index != c.last+1 {
		add(audit.MismatchIndex, "index "+strconv.FormatInt(c.last+1, 10), strconv.FormatInt(m.index, 10))
	}
	c.last = max(c.last, m.index)
}

// checkRun finds messages of a run that are missing or come twice. The first one that
// is seen of a run can have any number: those before may be gone by retention, or
// stand before where reading began.
func (c *checker) checkRun(m received, add adder) {
	run := m.Properties()[propertyRun]
	number, err := strconv.ParseInt(m.Properties()[propertyNumber], 10, 64)
	if run == "" || err != nil {
		add(audit.MismatchSequence, "a run and a number in it", m.Properties()[propertyNumber])
		return
	}
	id := m.ProducerName() + " " + run
	if next, known := c.next[id]; known && next != number {
		add(audit.MismatchSequence, fmt.Sprintf("number %d of run %s", next, run), strconv.FormatInt(number, 10))
	}
	if len(c.next) >= maxRuns {
		clear(c.next)
	}
	c.next[id] = number + 1
}

func (c *checker) checkPlace(m received, e audit.Event, add adder) {
	if e.Tenant != c.tenant || !e.BelongsIn(c.place.log) {
		add(audit.MismatchPlace, fmt.Sprintf("an event of %s, %s", c.tenant, c.place.log), fmt.Sprintf("one of %s, %s", e.Tenant, e.LogName()))
	}
	key := keyOf(e)
	switch {
	case m.Key() != key:
		add(audit.MismatchKey, key, m.Key())
	case c.place.partition >= 0 && route(key, c.partitions) != c.place.partition:
		add(audit.MismatchKey, fmt.Sprintf("partition %d for key %s", route(key, c.partitions), key), strconv.Itoa(c.place.partition))
	}
	// A dead replica's calls are closed in its name, by another.
	inPlace := e.Type == audit.CallUnknown && strings.HasPrefix(m.ProducerName(), "deed://"+c.tenant+"/")
	if m.ProducerName() != e.Source && !inPlace {
		add(audit.MismatchProducer, e.Source, m.ProducerName())
	}
	if got := m.Properties()[propertyContent]; got != ContentType {
		add(audit.MismatchSchema, ContentType, got)
	}
}

func checkEnvelope(m received, e audit.Event, add adder) {
	properties := m.Properties()
	for name, want := range attributes(e) {
		if got := properties[propertyPrefix+name]; got != want {
			add(audit.MismatchEnvelope, name+" "+want, got)
		}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// clip bounds what a stranger wrote.
func clip(s string) string {
	if len(s) > shownBytes {
		return s[:shownBytes] + "…"
	}
	return s
}
