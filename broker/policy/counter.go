package policy

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/deedbroker/deed/audit"
)

// Bounds of counters.
const (
	MaxCounters = 32 // in a set
	// CounterBuckets is how finely a window is told: what is older than the window by
	// less than a bucket may still count.
	CounterBuckets = 60
	maxWindow      = 31 * 24 * time.Hour
	minWindow      = time.Minute
)

// Counter is what policies see as context.recent.NAME: how many calls were permitted,
// or the sum of one of their arguments, over a window that ends now. It is declared by
// an annotation of any policy of the set:
//
//	@recent("refunds: count payments.refund by principal in 24h; spent: sum amount of payments.refund by agent in 1h")
//
// A call counts once its intent permits it, or once a hold on it is lifted.
type Counter struct {
	Name   string
	Sum    string   // the argument that is summed; empty: calls are counted
	Tool   string   // upstream.tool, upstream. for all of it, or * for all tools
	By     []string // whose calls: principal, agent, tool, session; those that equal the call's in all of these
	Window time.Duration
}

var counterSyntax = regexp.MustCompile(`^([a-z][a-z0-9_]{0,39}): *(?:count|sum +([A-Za-z_][A-Za-z0-9_]*) +of) +([a-z0-9-]+\.[^ ]*|\*) +by +([a-z+]+) +in +([0-9a-z]+)$`)

const counterHint = `write @recent("name: count upstream.tool by principal in 24h") or "name: sum argument of upstream.tool by principal+agent in 1h", several with ; between them`

func parseCounters(text string) ([]Counter, error) {
	var list []Counter
	for part := range strings.SplitSeq(text, ";") {
		m := counterSyntax.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return nil, fmt.Errorf("%q is no counter", strings.TrimSpace(part))
		}
		c := Counter{Name: m[1], Sum: m[2], Tool: m[3], By: strings.Split(m[4], "+")}
		for i, by := range c.By {
			if !slices.Contains([]string{"principal", "agent", "tool", "session"}, by) || slices.Contains(c.By[:i], by) {
				return nil, fmt.Errorf("counter %s is by %q: want principal, agent, tool or session, with + between several", c.Name, m[4])
			}
		}
		window, err := ParseDuration(m[5])
		if err != nil || window < minWindow || window > maxWindow {
			return nil, fmt.Errorf("counter %s has the window %q: want %s to %d days", c.Name, m[5], minWindow, maxWindow/(24*time.Hour))
		}
		c.Window = window
		list = append(list, c)
	}
	return list, nil
}

// String is the counter as it is declared.
func (c Counter) String() string {
	what := "count"
	if c.Sum != "" {
		what = "sum " + c.Sum + " of"
	}
	return fmt.Sprintf("%s: %s %s by %s in %s", c.Name, what, c.Tool, strings.Join(c.By, "+"), c.Window)
}

// Counts reports whether calls of a tool count.
func (c Counter) Counts(tool string) bool {
	return c.Tool == "*" || c.Tool == tool || strings.HasSuffix(c.Tool, ".") && strings.HasPrefix(tool, c.Tool)
}

// Key tells which calls count together with one of this tool by this identity.
func (c Counter) Key(tool string, who audit.Identity) string {
	var key strings.Builder
	key.WriteString(c.String()) // of the same name there may be another, before and after an activation
	for _, by := range c.By {
		value := ""
		switch by {
		case "principal":
			value = who.Issuer + " " + who.Principal
		case "agent":
			if len(who.Chain) > 0 {
				value = who.Chain[0].ID
			}
		case "session":
			value = who.Issuer + " " + who.Session
		case "tool":
			value = tool
		}
		fmt.Fprintf(&key, "\x00%d:%s", len(value), value)
	}
	return key.String()
}

// Adds is what a call with these arguments adds to the counter.
func (c Counter) Adds(input any) (int64, error) {
	if c.Sum == "" {
		return 1, nil
	}
	object, _ := input.(map[string]any)
	value, there := object[c.Sum]
	if !there {
		return 0, nil
	}
	n, ok := scaled(value, 0)
	if !ok {
		return 0, &ArgumentError{Pointer: "/" + c.Sum, Want: wantLong}
	}
	return n, nil
}

// collectCounters are those that rules declare, by name. The same may be declared again.
func collectCounters(all rules) ([]Counter, Findings) {
	by := map[string]Counter{}
	var found Findings
	for _, r := range all {
		for _, c := range r.counters {
			if other, taken := by[c.Name]; taken && other.String() != c.String() {
				found = append(found, r.finding(Fatal, fmt.Sprintf("there is another counter %s: %s", c.Name, other), "names of counters are unique over all files", "@recent"))
			}
			by[c.Name] = c
		}
	}
	if len(by) > MaxCounters {
		found = append(found, Finding{Severity: Fatal, Message: fmt.Sprintf("there are %d counters: at most %d", len(by), MaxCounters)})
	}
	list := slices.SortedFunc(maps.Values(by), func(a, b Counter) int { return strings.Compare(a.Name, b.Name) })
	return list, found
}

// checkCounters finds counters that sum what is no integer.
func (c *compilation) checkCounters() Findings {
	var found Findings
	for _, counter := range c.counters {
		for _, t := range c.tools {
			if counter.Sum == "" || !counter.Counts(t.ID()) {
				continue
			}
			if f, known := c.shapes[t.ID()].fields[counter.Sum]; !known || f.kind != longKind {
				found = append(found, Finding{
					Severity: Fatal, Tools: []string{t.ID()},
					Message: fmt.Sprintf("counter %s sums %s of %s, which is not an integer there", counter.Name, counter.Sum, t.ID()),
				})
			}
		}
	}
	return found
}

// recentRecord is context.recent. A counter without a value is an error: nothing may be
// decided as if nothing had happened.
func recentRecord(counters []Counter, values map[string]int64) (cedar.Value, error) {
	m := cedar.RecordMap{}
	for _, c := range counters {
		v, ok := values[c.Name]
		if !ok {
			return nil, &RequestError{"the counter " + c.Name + " has no value"}
		}
		m[cedar.String(c.Name)] = cedar.Long(v)
	}
	return cedar.NewRecord(m), nil
}

// ErrTooManyKeys says that a counter has reached the bound of what it remembers.
var ErrTooManyKeys = errors.New("too many callers to count")

// Counters are those that the policies declare, by name.
func (s *Set) Counters() []Counter { return slices.Clone(s.counters) }

// Recalls reports whether deciding on a tool takes the values of counters.
func (s *Set) Recalls(tool string) bool {
	p, ok := s.tools[tool]
	return ok && p.reads.of("recent") != nil
}
