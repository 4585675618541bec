package index

import (
	"math"
	"strconv"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// The pulse of a history is how often what happened, by the minute and by the hour, so
// that nobody has to count a million calls. Minutes are kept for a week.
const (
	pulseMinute = 60
	pulseHour   = 3600

	keepMinutes = 8 * 24 * time.Hour
)

// What is counted, beside the closing events by their names.
const (
	pulseCall     = "call"     // opened, or refused before that
	pulseHeld     = "held"     // of those, held for people
	pulseApproved = "approved" // released after a hold
	pulseWaited   = "waited/"  // decided by people: with the bucket of how long that took
)

// beat is one thing that is counted of a call.
type beat struct {
	at   time.Time
	kind string
}

// beatsOf is what is counted of a call. It only ever gets longer as the call goes on.
func beatsOf(c *calls.Call) []beat {
	if c.State == calls.None {
		return nil
	}
	beats := []beat{{c.Opening.Time, pulseCall}}
	if held(c) {
		beats = append(beats, beat{c.Opening.Time, pulseHeld})
	}
	if c.Releasing.ID != "" {
		beats = append(beats, beat{c.Releasing.Time, pulseApproved}, beat{c.Releasing.Time, waited(c, c.Releasing.Time)})
	}
	if c.State == calls.Closed {
		beats = append(beats, beat{c.Closing.Time, c.Closing.Type.Word()})
		if held(c) && c.Closing.Type == audit.CallDenied {
			beats = append(beats, beat{c.Closing.Time, waited(c, c.Closing.Time)})
		}
	}
	return beats
}

// held reports whether people were to decide on the call.
func held(c *calls.Call) bool {
	return c.Opening.Type == audit.CallIntent && c.Intent.Decision.Effect == audit.Hold
}

// Times to a decision are counted in buckets, four to each doubling from an eighth of a
// second on: a quantile that is read from them is at most a tenth off.
const (
	waitLeast   = 125 * time.Millisecond
	waitBuckets = 96 // up to half a year
)

func waited(c *calls.Call, at time.Time) string {
	n := 0
	if d := at.Sub(c.Opening.Time); d > waitLeast {
		n = min(int(4*math.Log2(float64(d)/float64(waitLeast))), waitBuckets-1)
	}
	return pulseWaited + strconv.Itoa(n)
}

// waitOf is the middle of a bucket.
func waitOf(n int) time.Duration {
	return time.Duration(float64(waitLeast) * math.Exp2((float64(n)+0.5)/4))
}

// pulseKey is a row of the pulse.
type pulseKey struct {
	unit, bucket int64
	domain, kind string
}

// pulse counts what has happened to the call since it was stored last.
func (w *writer) pulse(e *entry) {
	beats := beatsOf(&e.call)
	for _, b := range beats[e.beats:] {
		for _, unit := range []int64{pulseMinute, pulseHour} {
			w.pulses[pulseKey{unit, bucketOf(b.at, unit), e.call.Domain, b.kind}]++
		}
	}
	e.beats = len(beats)
}

func bucketOf(t time.Time, unit int64) int64 { return t.Unix() / unit }

// storePulse writes what [writer.pulse] has counted, and drops minutes that are old
// by the newest event.
func (w *writer) storePulse(newest time.Time) error {
	for k, n := range w.pulses {
		if err := w.addPulse.Run(k.unit, k.bucket, k.domain, k.kind, n); err != nil {
			return err
		}
	}
	hour := bucketOf(newest, pulseHour)
	if hour == w.pruned {
		return nil
	}
	w.pruned = hour
	return w.dropPulse.Run(int64(pulseMinute), bucketOf(newest.Add(-keepMinutes), pulseMinute))
}
