package topics

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Value is what a policy is set to. Values are comparable; nil is a policy that
// nobody set, for which the cluster has a default.
type Value interface{ String() string }

// Retention is how long, and how many of them, messages are kept. Negative is without a bound.
type Retention struct{ Minutes, Megabytes int64 }

// String is a span such as 90d, and a size where there is a bound.
func (r Retention) String() string {
	text := "for ever"
	if r.Minutes == 0 || r.Megabytes == 0 {
		return "what is not acknowledged"
	}
	if r.Minutes > 0 {
		text = span(time.Duration(r.Minutes) * time.Minute)
	}
	if r.Megabytes >= 0 {
		text += fmt.Sprintf(", %d MB at most", r.Megabytes)
	}
	return text
}

// shorterThan reports whether messages may go that the other keeps.
func (r Retention) shorterThan(other Retention) bool {
	less := func(a, b int64) bool { return a >= 0 && (b < 0 || a < b) }
	return less(r.Minutes, other.Minutes) || less(r.Megabytes, other.Megabytes)
}

// TTL is after how many seconds a message counts as acknowledged; 0 is never.
type TTL int64

// String is a span such as 90d.
func (t TTL) String() string {
	if t == 0 {
		return "never"
	}
	return span(time.Duration(t) * time.Second)
}

// Switch is on or off.
type Switch bool

// String is on or off.
func (s Switch) String() string {
	if s {
		return "on"
	}
	return "off"
}

// Quota is how much a subscription may leave unread, and what happens then.
type Quota struct {
	Bytes  int64
	Action string
}

// String is a size and the action.
func (q Quota) String() string { return fmt.Sprintf("%s, then %s", size(q.Bytes), q.Action) }

// Bytes is an amount of data.
type Bytes int64

// String is the amount in the largest unit that divides it.
func (b Bytes) String() string { return size(int64(b)) }

// Word is a value that Pulsar has a word for.
type Word string

// String is the word.
func (w Word) String() string { return string(w) }

// Count is a number of partitions; 0 is a topic that is not partitioned.
type Count int

// String says how many.
func (c Count) String() string {
	switch c {
	case 0:
		return "not partitioned"
	case 1:
		return "1 partition"
	default:
		return fmt.Sprintf("%d partitions", int(c))
	}
}

// Names are roles or actions, sorted, each once.
type Names string

// NamesOf sorts names and keeps each once.
func NamesOf(names ...string) Names {
	sorted := slices.Sorted(slices.Values(names))
	return Names(strings.Join(slices.Compact(sorted), ","))
}

// List is the names one by one.
func (n Names) List() []string {
	if n == "" {
		return []string{}
	}
	return strings.Split(string(n), ",")
}

// Has reports whether name is among them.
func (n Names) Has(name string) bool { return slices.Contains(n.List(), name) }

// within reports whether all of n are among others.
func (n Names) within(others Names) bool {
	return !slices.ContainsFunc(n.List(), func(name string) bool { return !others.Has(name) })
}

// String is all of them.
func (n Names) String() string {
	if n == "" {
		return "nobody"
	}
	return strings.ReplaceAll(string(n), ",", ", ")
}

// Schema is what a topic says of its messages.
type Schema struct {
	Type   string // Pulsar's
	URI    string // of the JSON Schema
	Digest string // hex SHA-256 of its text
	Text   string
}

// NewSchema is a JSON Schema as it is registered. Pulsar keeps what comes as type BYTES
// or NONE without looking at it; its JSON type takes Avro definitions alone.
func NewSchema(uri, text string) Schema {
	sum := sha256.Sum256([]byte(text))
	return Schema{Type: "NONE", URI: uri, Digest: hex.EncodeToString(sum[:]), Text: text}
}

// String is where the schema is described, and the beginning of its digest.
func (s Schema) String() string {
	where := s.URI
	if where == "" {
		where = "one of type " + s.Type + " that names no JSON Schema"
	}
	return fmt.Sprintf("%s (sha256 %.12s)", where, s.Digest)
}

const day = 24 * time.Hour

// span is a duration with years of 365 days, and days.
func span(d time.Duration) string {
	var b strings.Builder
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"y", 365 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if n := d / unit.length; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			d -= n * unit.length
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

func size(bytes int64) string {
	if bytes < 0 {
		return "no limit"
	}
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if bytes > 0 && bytes%unit.bytes == 0 {
			return fmt.Sprintf("%d %s", bytes/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d B", bytes)
}
