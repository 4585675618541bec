package broker

import (
	"sync"
	"time"

	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/audit"
)

// denied is the deny list as the log has it: folded at the start, followed live.
type denied struct {
	list denylist.List

	mu    sync.Mutex
	notes map[string]note // guarded by mu: by id, of what is in the list
}

// note is what the list itself has no use for.
type note struct {
	by, via string
	time    time.Time
}

func newDenied() *denied { return &denied{notes: map[string]note{}} }

// fold reads an event of control. It reports the entry that came into force by it.
func (d *denied) fold(e audit.Event, now time.Time) (added denylist.Entry, ok bool, err error) {
	switch e.Type {
	case audit.CallerRevoked:
		return d.add(e, now)
	case audit.RevocationLifted:
		l, err := audit.DataOf[audit.Lifting](e)
		if err == nil {
			d.list.Lift(l.Revocation)
			d.mu.Lock()
			delete(d.notes, l.Revocation)
			d.mu.Unlock()
		}
		return denylist.Entry{}, false, err
	default:
		return denylist.Entry{}, false, nil
	}
}

func (d *denied) add(e audit.Event, now time.Time) (denylist.Entry, bool, error) {
	r, err := audit.DataOf[audit.Revocation](e)
	if err != nil {
		return denylist.Entry{}, false, err
	}
	entry := denylist.Entry{
		ID: e.ID, Kind: denylist.Kind(r.Kind), Issuer: r.Issuer, Value: r.Value, Agents: r.Agents,
		IssuedBefore: instant(r.IssuedBefore), Until: instant(r.Until), Reason: r.Reason,
	}
	if err := entry.Validate(); err != nil {
		return denylist.Entry{}, false, err
	}
	if !entry.Until.IsZero() && !now.Before(entry.Until) {
		return denylist.Entry{}, false, nil
	}
	n := note{via: r.Via, time: e.Time}
	if r.By != nil {
		n.by = r.By.Principal
	}
	d.mu.Lock() // whoever sees the note sees the entry in force
	defer d.mu.Unlock()
	d.notes[e.ID] = n
	return entry, d.list.Add(entry), nil
}

// folded reports whether the event of that id has been read.
func (d *denied) folded(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.notes[id]
	return ok
}

func (d *denied) describe(e denylist.Entry) Revocation {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.notes[e.ID]
	return Revocation{Entry: e, By: n.by, Via: n.via, Time: n.time}
}

// forget drops what has come to its end.
func (d *denied) forget(now time.Time) {
	before := d.list.Len()
	d.list.Forget(now)
	if d.list.Len() == before {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.notes {
		if _, ok := d.list.Get(id, now); !ok {
			delete(d.notes, id)
		}
	}
}

func instant(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
