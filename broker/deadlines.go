package broker

import (
	"cmp"
	"time"
)

// deadline is when a hold is over.
type deadline struct {
	hold *hold
	at   time.Time
}

func (d deadline) compare(o deadline) int {
	return cmp.Or(d.at.Compare(o.at), cmp.Compare(d.hold.id, o.hold.id))
}

// deadlines is a heap, the earliest first. Each hold knows its place in it.
type deadlines []deadline

// Len is part of [heap.Interface].
func (d *deadlines) Len() int { return len(*d) }

// Less is part of [heap.Interface].
func (d *deadlines) Less(i, j int) bool { return (*d)[i].compare((*d)[j]) < 0 }

// Swap is part of [heap.Interface].
func (d *deadlines) Swap(i, j int) {
	all := *d
	all[i], all[j] = all[j], all[i]
	all[i].hold.place, all[j].hold.place = i, j
}

// Push is part of [heap.Interface].
func (d *deadlines) Push(x any) {
	v, _ := x.(deadline)
	v.hold.place = len(*d)
	*d = append(*d, v)
}

// Pop is part of [heap.Interface].
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	v := (*d)[last]
	(*d)[last] = deadline{}
	*d = (*d)[:last]
	v.hold.place = -1
	return v
}
