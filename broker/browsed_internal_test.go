package broker

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
)

// The first look is recorded at once, those of a while after it by one sum.
func TestLooksOfAWhileAreSummedUp(t *testing.T) {
	t.Parallel()
	var b browsed
	now := time.Now()
	look := func(viewer string, at time.Time) (audit.Reading, bool) {
		l := audit.Reading{What: audit.ReadList, For: "overview"}
		p, fresh := b.look(viewer, &l, at)
		if fresh {
			b.note(p, l, at)
		}
		return l, fresh
	}
	for n := range 5 {
		if _, fresh := look("carol", now.Add(time.Duration(n)*time.Second)); fresh != (n == 0) {
			t.Errorf("look %d is fresh: %t", n, fresh)
		}
	}
	look("dora", now)
	if sums := b.over(now.Add(browseFor-time.Second), false); len(sums) != 0 {
		t.Errorf("before it is over: %+v", sums)
	}
	if l, fresh := look("carol", now.Add(browseFor)); !fresh || l.Looks != 5 {
		t.Errorf("the first look after a while stands for %d, want 5", l.Looks)
	}
	look("carol", now.Add(browseFor))
	want := []audit.Reading{{What: audit.ReadList, For: "overview", Looks: 1}}
	if diff := cmp.Diff(want, b.over(now.Add(2*browseFor), false)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(b.first) != 0 || len(b.apart) != 0 {
		t.Errorf("left are %d and %d", len(b.first), len(b.apart))
	}
}

// However many lists somebody makes up, few are told apart, and all are counted.
func TestLooksAreBounded(t *testing.T) {
	t.Parallel()
	var b browsed
	now, recorded := time.Now(), 0
	for n := range 1000 {
		l := audit.Reading{What: audit.ReadList, For: fmt.Sprint("q", n)}
		p, fresh := b.look("carol", &l, now)
		if fresh {
			recorded++
			b.note(p, l, now)
		}
	}
	sums := b.over(now, true)
	if recorded != maxApart+1 || len(sums) != 1 || sums[0].Looks != 1000-int64(recorded) || sums[0].For != "" {
		t.Errorf("%d are recorded, and then %+v", recorded, sums)
	}
}
