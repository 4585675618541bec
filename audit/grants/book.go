package grants

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Book is what the control log says of grants. The zero Book is empty. It is safe for
// concurrent use.
type Book struct {
	mu   sync.Mutex
	byID map[string]*Grant            // guarded by mu
	by   map[target]map[string]*Grant // guarded by mu: the same, by what they are for and id
}

// Apply folds an event of control. It reports whether something about grants came into
// force by it: a use beyond what was granted does not.
func (b *Book) Apply(e audit.Event) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e.Type {
	case audit.GrantMade:
		return b.made(e)
	case audit.GrantUsed:
		return b.used(e)
	case audit.GrantEnded:
		return b.ended(e)
	default:
		return false, nil
	}
}

func (b *Book) made(e audit.Event) (bool, error) {
	g, err := audit.DataOf[audit.Grant](e)
	if err != nil {
		return false, err
	}
	if err := Validate(g, e.Time); err != nil {
		return false, fmt.Errorf("grant %s: %w", e.ID, err)
	}
	if g.Decision.Effect != audit.Allow {
		return false, fmt.Errorf("grant %s: it was not permitted to who made it", e.ID)
	}
	if b.byID[e.ID] != nil {
		return false, nil
	}
	if b.byID == nil {
		b.byID, b.by = map[string]*Grant{}, map[target]map[string]*Grant{}
	}
	made := &Grant{Grant: g, ID: e.ID, Made: e.Time}
	b.byID[e.ID] = made
	like := b.by[made.target()]
	if like == nil {
		like = map[string]*Grant{}
		b.by[made.target()] = like
	}
	like[e.ID] = made
	return true, nil
}

func (b *Book) used(e audit.Event) (bool, error) {
	u, err := audit.DataOf[audit.GrantUse](e)
	if err != nil {
		return false, err
	}
	g := b.byID[u.Grant]
	if g == nil || g.Left(e.Time) == 0 || g.UsedFor(u.CallID, u.Digest) {
		return false, nil
	}
	g.Used = append(g.Used, u)
	return true, nil
}

func (b *Book) ended(e audit.Event) (bool, error) {
	end, err := audit.DataOf[audit.GrantEnd](e)
	if err != nil {
		return false, err
	}
	g := b.byID[end.Grant]
	if g == nil || g.Ended != nil {
		return false, nil
	}
	g.Ended = &end
	return true, nil
}

// Len is how many grants the book has, over or not.
func (b *Book) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.byID)
}

// Get is one grant as it stands.
func (b *Book) Get(id string) (Grant, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.byID[id]
	if g == nil {
		return Grant{}, false
	}
	return *g, true
}

// All lists the grants, the latest first.
func (b *Book) All() []Grant {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Grant, 0, len(b.byID))
	for _, g := range b.byID {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(x, y Grant) int { return cmp.Or(y.Made.Compare(x.Made), cmp.Compare(x.ID, y.ID)) })
	return all
}

// Covering lists the grants that can be used for a call now, those that end first first.
func (b *Book) Covering(in audit.Intent, arguments []byte, now time.Time) []Grant {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []Grant
	for _, g := range b.by[targetOf(in)] {
		if g.Left(now) > 0 && g.Covers(in, arguments) {
			found = append(found, *g)
		}
	}
	slices.SortFunc(found, func(x, y Grant) int { return cmp.Or(x.Until.Compare(y.Until), cmp.Compare(x.ID, y.ID)) })
	return found
}

// Forget drops the grants that ended before a moment.
func (b *Book) Forget(before time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, g := range b.byID {
		if !g.Until.Before(before) {
			continue
		}
		delete(b.byID, id)
		like := b.by[g.target()]
		if delete(like, id); len(like) == 0 {
			delete(b.by, g.target())
		}
	}
}
