package notify

import (
	"slices"
	"time"

	"github.com/deedbroker/deed/audit/calls"
)

// Route says who is told of which holds. All routes that fit a hold are taken.
type Route struct {
	Domains   []string // none: all
	Approvers []string // roles, of which a hold waits for any; none: whatever it waits for
	To        []string // channels
	Quiet     *Quiet   // when To is not told; nil: there is no such time
	Escalate  []Escalation
}

// Escalation has others told of a hold that nobody has decided, quiet hours or not.
type Escalation struct {
	After time.Duration // of the hold; one that would be over by then is escalated at half its time
	To    []string
}

// Quiet is a time of every day. What becomes due in it is told at its end.
type Quiet struct {
	From, To time.Duration // since midnight; a quiet time may go on past it
	Zone     *time.Location
}

// over is t, or the end of the quiet time that it is in.
func (q *Quiet) over(t time.Time) time.Time {
	if q == nil || q.From == q.To {
		return t
	}
	year, month, day := t.In(q.Zone).Date()
	clock := func(day int, d time.Duration) time.Time {
		return time.Date(year, month, day, 0, int(d/time.Minute), 0, 0, q.Zone)
	}
	for _, day := range []int{day - 1, day} {
		begin, end := clock(day, q.From), clock(day, q.To)
		if q.To < q.From {
			end = clock(day+1, q.To)
		}
		if !t.Before(begin) && t.Before(end) {
			return end
		}
	}
	return t
}

func (r Route) fits(c *calls.Call) bool {
	if len(r.Domains) > 0 && !slices.Contains(r.Domains, c.Domain) {
		return false
	}
	waits := c.Approvers()
	return len(r.Approvers) == 0 || len(waits) == 0 ||
		slices.ContainsFunc(waits, func(role string) bool { return slices.Contains(r.Approvers, role) })
}

// due is when a channel is told of a hold, and whether that is because nobody decided.
type due struct {
	at   time.Time
	late bool
}

// plan is when each channel is told of a call.
func plan(routes []Route, c *calls.Call) map[string]due {
	planned := map[string]due{}
	add := func(channels []string, d due) {
		for _, name := range channels {
			if before, known := planned[name]; !known || d.at.Before(before.at) {
				planned[name] = d
			}
		}
	}
	opened, life := c.Opening.Time, c.Deadline().Sub(c.Opening.Time)
	for _, r := range routes {
		if !r.fits(c) {
			continue
		}
		add(r.To, due{at: r.Quiet.over(opened)})
		for _, e := range r.Escalate {
			after := e.After
			if after >= life {
				after = life / 2
			}
			add(e.To, due{at: opened.Add(after), late: true})
		}
	}
	return planned
}
