package broker

import (
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
)

const (
	// browseFor is how long the looks at a list or stream count as one.
	browseFor = 15 * time.Minute
	// maxApart is how many lists of a kind are told apart for one viewer; more count together.
	maxApart = 16
	// maxBrowsed is how many are remembered. What comes beyond them is recorded each time.
	maxBrowsed = 1 << 16
	// maxSums is how many sums are recorded at a time.
	maxSums = 100
)

// browsed are the lists and streams that somebody has looked at lately.
type browsed struct {
	mu    sync.Mutex
	first map[place]*sum // guarded by mu
	apart map[place]int  // guarded by mu: how many of each viewer and kind, by a place without the list
}

// place is a list, or a stream, and who looks at it.
type place struct{ viewer, what, call, list string }

// sum is what came of the first look, and how many came after it.
type sum struct {
	look  audit.Reading
	since time.Time
	more  int64
}

// look counts a look at what was looked at before. One that is to be recorded first is
// fresh; it says for how many it stands.
func (b *browsed) look(viewer string, look *audit.Reading, now time.Time) (at place, fresh bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at = place{viewer, look.What, look.Call, look.For}
	s := b.first[at]
	if s == nil && b.apart[place{viewer: viewer, what: look.What}] >= maxApart {
		at.list, at.call, look.For, look.Call = "", "", "", ""
		s = b.first[at]
	}
	switch {
	case s == nil:
		return at, true
	case now.Sub(s.since) < browseFor:
		s.more++
		return at, false
	default:
		look.Looks = s.more + 1
		return at, true
	}
}

// note remembers a look that is on record.
func (b *browsed) note(at place, look audit.Reading, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	look.Looks = 0
	s := b.first[at]
	switch {
	case s == nil && len(b.first) >= maxBrowsed:
		return
	case s == nil:
		if b.first == nil {
			b.first, b.apart = map[place]*sum{}, map[place]int{}
		}
		b.first[at] = &sum{look: look, since: now}
		b.apart[place{viewer: at.viewer, what: at.what}]++
	case now.Sub(s.since) < browseFor: // two looked at once, and both are on record
	default:
		s.look, s.since, s.more = look, now, 0
	}
}

// over forgets what was looked at a while ago, or all, up to maxSums, and returns what is to
// be recorded of it.
func (b *browsed) over(now time.Time, all bool) []audit.Reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sums []audit.Reading
	for at, s := range b.first {
		if len(sums) >= maxSums || (!all && now.Sub(s.since) < browseFor) {
			continue
		}
		delete(b.first, at)
		if kind := (place{viewer: at.viewer, what: at.what}); b.apart[kind] > 1 {
			b.apart[kind]--
		} else {
			delete(b.apart, kind)
		}
		if s.more > 0 {
			s.look.Looks = s.more
			sums = append(sums, s.look)
		}
	}
	return sums
}
