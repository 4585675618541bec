package hindsight

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/policy"
)

// Bounds of what a suggestion says about arguments.
const (
	fewValues  = 8  // of a text that are listed
	enoughSeen = 20 // calls, before anything is said about their arguments
)

// Suggestion is a draft of least-privilege policies, out of what was done.
type Suggestion struct {
	Text  string `json:"text"`  // Cedar
	Calls int    `json:"calls"` // that were permitted, and are by these
}

// observed is what was done with one tool.
type observed struct {
	calls  int
	agents map[string]int
	people map[string]map[string]bool // their roles
	fields map[string]*field
	whole  int // calls whose arguments could be read
}

// field is one top-level argument, as far as policies can bound it.
type field struct {
	seen     int
	low, top int64
	numbers  int
	values   map[string]bool // nil once there are too many
}

// Suggest drafts policies that permit what was permitted between two times, and as
// little more as roles, tools and, with bounds, arguments can tell. What the policies
// in force forbid, or hold, stays forbidden or held.
func Suggest(ctx context.Context, from History, inForce *policy.Set, o Options, bounds bool) (*Suggestion, error) {
	seen := map[string]*observed{}
	approvers := map[string]map[string]bool{} // by domain: their roles
	total := 0
	err := each(ctx, from, o.From, nil, func(c *calls.Call) error {
		opened := c.Opening.Time
		if opened.Before(o.Since) || (!o.Until.IsZero() && !opened.Before(o.Until)) || c.Opening.Type == audit.CallDenied {
			return nil
		}
		if was, _ := fate(c); was == Held {
			return nil // nobody let it run
		}
		total++
		t := seen[c.Intent.Tool]
		if t == nil {
			t = &observed{agents: map[string]int{}, people: map[string]map[string]bool{}, fields: map[string]*field{}}
			seen[c.Intent.Tool] = t
		}
		t.call(c)
		for _, v := range c.Votes {
			if approvers[c.Domain] == nil {
				approvers[c.Domain] = map[string]bool{}
			}
			for _, r := range v.By.Roles {
				approvers[c.Domain][r] = true
			}
		}
		if !bounds {
			return nil
		}
		if args, err := arguments(ctx, from, c); err == nil {
			t.arguments(args.Value)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("suggest policies: %w", err)
	}
	w := writer{seen: seen, approvers: approvers, bounds: bounds, inForce: inForce.Policies()}
	return &Suggestion{Text: w.text(total, o), Calls: total}, nil
}

func (t *observed) call(c *calls.Call) {
	t.calls++
	id := c.Intent.Identity
	for _, a := range id.Chain {
		t.agents[a.ID]++
	}
	if id.Principal == "" {
		return
	}
	roles := map[string]bool{}
	for _, r := range id.Roles {
		roles[r] = true
	}
	if had, ok := t.people[id.Principal]; ok {
		maps.DeleteFunc(had, func(r string, _ bool) bool { return !roles[r] })
		return
	}
	t.people[id.Principal] = roles
}

func (t *observed) arguments(v any) {
	object, ok := v.(map[string]any)
	if !ok {
		return
	}
	t.whole++
	for name, value := range object {
		f := t.fields[name]
		if f == nil {
			f = &field{values: map[string]bool{}}
			t.fields[name] = f
		}
		f.add(value)
	}
}

func (f *field) add(value any) {
	f.seen++
	switch v := value.(type) {
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return
		}
		if f.numbers == 0 {
			f.low, f.top = n, n
		}
		f.numbers++
		f.low, f.top = min(f.low, n), max(f.top, n)
	case string:
		if f.values == nil || len(v) > 64 {
			f.values = nil
			return
		}
		f.values[v] = true
		if len(f.values) > fewValues {
			f.values = nil
		}
	default:
		f.values = nil
	}
}

// writer puts what was observed into Cedar.
type writer struct {
	seen      map[string]*observed
	approvers map[string]map[string]bool
	bounds    bool
	inForce   []policy.Info
	b         strings.Builder
}

func (w *writer) text(total int, o Options) string {
	fmt.Fprintf(&w.b, "// Drafted from %d calls that were permitted", total)
	if !o.Since.IsZero() {
		fmt.Fprintf(&w.b, " since %s", o.Since.UTC().Format(time.RFC3339))
	}
	w.b.WriteString(".\n// Read it, rename its roles to what they mean, and try it: deed policy replay --policy THIS-FILE\n")
	w.agents()
	w.people()
	w.forbids()
	if w.bounds {
		w.fields()
	}
	w.approve()
	return w.b.String()
}

// agents permits each agent the tools that it called.
func (w *writer) agents() {
	by := map[string][]string{}
	for tool, t := range w.seen {
		for a := range t.agents {
			by[a] = append(by[a], tool)
		}
	}
	for _, agent := range slices.Sorted(maps.Keys(by)) {
		w.permit(fmt.Sprintf("principal == Agent::%s", quote(agent)), by[agent])
	}
}

// people permits what people called through their roles: to the fewest roles that
// all callers of a tool had, or else to each of them.
func (w *writer) people() {
	by := map[string][]string{}
	for tool, t := range w.seen {
		for _, who := range t.parties() {
			by[who] = append(by[who], tool)
		}
	}
	for _, who := range slices.Sorted(maps.Keys(by)) {
		w.permit(who, by[who])
	}
}

// parties are the principals, in Cedar, that cover all people who called.
func (t *observed) parties() []string {
	common := map[string]int{}
	for _, roles := range t.people {
		for r := range roles {
			common[r]++
		}
	}
	var parties []string
	left := maps.Clone(t.people)
	for len(left) > 0 {
		best := ""
		for _, r := range slices.Sorted(maps.Keys(common)) {
			if n := holders(left, r); n > 1 && (best == "" || n > holders(left, best)) {
				best = r
			}
		}
		if best == "" {
			break
		}
		parties = append(parties, "principal in Role::"+quote(best))
		maps.DeleteFunc(left, func(_ string, roles map[string]bool) bool { return roles[best] })
	}
	for _, p := range slices.Sorted(maps.Keys(left)) {
		parties = append(parties, "principal == User::"+quote(p))
	}
	return parties
}

func holders(people map[string]map[string]bool, role string) int {
	n := 0
	for _, roles := range people {
		if roles[role] {
			n++
		}
	}
	return n
}

func (w *writer) permit(principal string, tools []string) {
	slices.Sort(tools)
	calls := 0
	for i, t := range tools {
		calls += w.seen[t].calls
		tools[i] = "Action::" + quote(t)
	}
	fmt.Fprintf(&w.b, "\n// %d calls\npermit (\n  %s,\n  action in [%s],\n  resource\n);\n", calls, principal, strings.Join(tools, ", "))
}

// fields forbids arguments beyond what was seen. Only arguments that every call had
// are bounded: others may be missing.
func (w *writer) fields() {
	for _, tool := range slices.Sorted(maps.Keys(w.seen)) {
		t := w.seen[tool]
		if t.whole < enoughSeen {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(t.fields)) {
			f := t.fields[name]
			if f.seen != t.whole || !identifier(name) {
				continue
			}
			var condition, seen string
			switch {
			case f.numbers == f.seen:
				condition, seen = fmt.Sprintf("context.input.%s < %d || context.input.%s > %d", name, f.low, name, f.top), fmt.Sprintf("%d to %d", f.low, f.top)
			case f.numbers == 0 && len(f.values) > 0:
				var values []string
				for _, v := range slices.Sorted(maps.Keys(f.values)) {
					values = append(values, quote(v))
				}
				condition, seen = fmt.Sprintf("!([%s].contains(context.input.%s))", strings.Join(values, ", "), name), fmt.Sprintf("%d values", len(values))
			default:
				continue
			}
			fmt.Fprintf(&w.b, "\n// %s was %s in %d calls\n@id(%s) @reason(%s)\nforbid (principal, action == Action::%s, resource)\nwhen { %s };\n",
				name, seen, f.seen, quote("unusual-"+strings.ReplaceAll(tool, ".", "-")+"-"+name), quote("Nobody has used such a "+name+" before."), quote(tool), condition)
		}
	}
}

// approve permits approving to the roles of those who did.
func (w *writer) approve() {
	for _, domain := range slices.Sorted(maps.Keys(w.approvers)) {
		for _, role := range slices.Sorted(maps.Keys(w.approvers[domain])) {
			fmt.Fprintf(&w.b, "\npermit (principal in Role::%s, action in [Action::\"approve\", Action::\"read\"], resource in Domain::%s);\n", quote(role), quote(domain))
		}
	}
}

// forbids keeps the policies that forbid: of what was done nobody can tell that they
// are not needed.
func (w *writer) forbids() {
	for _, p := range w.inForce {
		if p.Effect == "forbid" {
			fmt.Fprintf(&w.b, "\n// kept as it is in %s\n%s\n", p.File, strings.TrimSpace(p.Text))
		}
	}
}

func identifier(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	}) < 0 && (name[0] < '0' || name[0] > '9')
}

// quote is a Cedar string: Go's escapes of ASCII are also its own, others are \u{…}.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			b.WriteString(`\u{` + strconv.FormatInt(int64(r), 16) + "}")
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
