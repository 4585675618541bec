package policy

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"
)

// MaxTallies is how many sums are remembered, over all counters.
const MaxTallies = 200_000

// Tallies are the sums of counters, by the key of whose calls they are. It is not safe
// for concurrent use.
type Tallies struct{ sums map[string]*tally }

// NewTallies returns sums of nothing.
func NewTallies() *Tallies { return &Tallies{sums: map[string]*tally{}} }

// Add counts a call of this moment. Without room it is [ErrTooManyKeys].
func (t *Tallies) Add(c Counter, key string, at time.Time, n int64) error {
	sum := t.sums[key]
	if sum == nil {
		if err := t.Room(at); err != nil {
			return err
		}
		sum = &tally{width: c.Window / CounterBuckets}
		t.sums[key] = sum
	}
	sum.add(at, n)
	return nil
}

// Value is the sum over the window that ends now.
func (t *Tallies) Value(_ Counter, key string, now time.Time) int64 {
	if sum := t.sums[key]; sum != nil {
		return sum.over(now)
	}
	return 0
}

// Room makes room for another key, of those that no window reaches any more.
func (t *Tallies) Room(now time.Time) error {
	if len(t.sums) < MaxTallies {
		return nil
	}
	maps.DeleteFunc(t.sums, func(_ string, sum *tally) bool { return sum.spent(now) })
	if len(t.sums) < MaxTallies {
		return nil
	}
	return ErrTooManyKeys
}

// tally is a sum over a window, in buckets by time. The bucket that the window begins
// in counts as a whole.
type tally struct {
	width   time.Duration
	buckets []bucket // by number
}

type bucket struct{ number, sum int64 }

func (t *tally) number(at time.Time) int64 { return at.UnixNano() / int64(t.width) }

func (t *tally) add(at time.Time, n int64) {
	number := t.number(at)
	i, found := slices.BinarySearchFunc(t.buckets, number, func(b bucket, n int64) int { return cmp.Compare(b.number, n) })
	if !found {
		t.buckets = slices.Insert(t.buckets, i, bucket{number: number})
	}
	t.buckets[i].sum = Saturated(t.buckets[i].sum, n)
	oldest := t.buckets[len(t.buckets)-1].number - CounterBuckets
	for t.buckets[0].number < oldest {
		t.buckets = t.buckets[1:]
	}
}

func (t *tally) over(now time.Time) int64 {
	var sum int64
	oldest := t.number(now) - CounterBuckets
	for _, b := range t.buckets {
		if b.number >= oldest {
			sum = Saturated(sum, b.sum)
		}
	}
	return sum
}

func (t *tally) spent(now time.Time) bool {
	return t.buckets[len(t.buckets)-1].number < t.number(now)-CounterBuckets
}

// Saturated is the sum of two numbers, or the nearest number that there is.
func Saturated(a, b int64) int64 {
	switch sum := a + b; {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return math.MinInt64
	default:
		return sum
	}
}
