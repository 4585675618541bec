package notify

import (
	"maps"
	"time"
)

// handover is how much of what another replica had to send may not have been sent when
// it was heard of last.
const handover = 30 * time.Second

// mine reports whether this replica sends. The caller holds mu.
func (b *book) mine() bool { return b.alone || b.leader == b.source }

// heard notes whose checkpoint is the newest, and takes for said what whoever that is had
// the time to say. It gives what is to be stored: of each call what was said, or nil if
// it can be forgotten.
func (b *book) heard(source string, at time.Time) map[string]map[string]told {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leader != source {
		b.leader = source
		b.ring()
	}
	if b.mine() {
		return nil
	}
	changed := map[string]map[string]told{}
	for id, x := range b.entries {
		if !x.saidBy(at.Add(-handover), b.local) {
			continue
		}
		changed[id] = maps.Clone(x.told)
		if x.over() {
			delete(b.entries, id)
			changed[id] = nil
		}
	}
	return changed
}

// saidBy takes for said what was due by a time. It reports whether that changed anything.
func (x *entry) saidBy(t time.Time, local map[string]bool) (changed bool) {
	for channel := range x.plan {
		if local[channel] {
			continue
		}
		if at, _, ok := x.owed(channel); ok && at.Before(t) {
			x.told[channel] = told{State: x.state(), At: at}
			changed = true
		}
	}
	return changed
}
