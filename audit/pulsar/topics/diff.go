package topics

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Plan is what has to be done so that a cluster is as it should be.
type Plan struct {
	Steps   []Step    `json:"steps"`
	Refused []Finding `json:"refused"` // what differs and no step may change: apply stops there
	Strange []Finding `json:"strange"` // what is there and nobody described
	Notes   []Finding `json:"notes"`   // what is left alone
}

// Finding is something that a person has to look at.
type Finding struct {
	Object string `json:"object"`
	Text   string `json:"text"`
}

// Drift reports whether anything is not as it should be.
func (p Plan) Drift() bool { return len(p.Steps)+len(p.Refused)+len(p.Strange) > 0 }

// Diff says how to get from what is there to what should be there.
func Diff(want, have State) Plan {
	d := &differ{plan: Plan{Steps: []Step{}, Refused: []Finding{}, Strange: []Finding{}, Notes: []Finding{}}, tenant: want.Tenant}
	d.cluster(have.Cluster)
	d.administration(want, have)
	for _, domain := range sorted(want.Namespaces) {
		d.namespace(Object{want.Tenant, domain, ""}, want.Namespaces[domain], have.Namespaces[domain])
	}
	for _, domain := range sorted(have.Namespaces) {
		if want.Namespaces[domain] == nil {
			note := Finding{want.Tenant + "/" + domain, "is no domain of the configuration: it is left as it is"}
			d.plan.Notes = append(d.plan.Notes, note)
		}
	}
	return d.plan
}

type differ struct {
	plan   Plan
	tenant string
}

func (d *differ) step(s Step) { d.plan.Steps = append(d.plan.Steps, s) }

func (d *differ) refuse(o Object, format string, args ...any) {
	d.plan.Refused = append(d.plan.Refused, Finding{o.String(), fmt.Sprintf(format, args...)})
}

func (d *differ) strange(o Object, format string, args ...any) {
	d.plan.Strange = append(d.plan.Strange, Finding{o.String(), fmt.Sprintf(format, args...)})
}

func (d *differ) administration(want, have State) {
	tenant := Object{Tenant: want.Tenant}
	if !have.Exists {
		d.step(Step{Verb: Create, Object: tenant})
	}
	if want.Admins != "" {
		d.plan.Notes = append(d.plan.Notes, Finding{tenant.String(), "its admins may read and write everything in it: " + want.Admins.String()})
	}
	if want.Admins != have.Admins {
		d.step(Step{Verb: Administer, Object: tenant, From: have.Admins, To: want.Admins})
	}
}

// namespace orders its steps so that a plan that was cut off leaves nobody with more
// than they should have: what must go goes first, and nobody gets in before all is ready.
func (d *differ) namespace(o Object, want, have *Namespace) {
	if have == nil {
		d.step(Step{Verb: Create, Object: o})
		have = &Namespace{}
	}
	d.revoke(o, want.Grants, have.Grants)
	for _, topic := range sorted(have.TopicGrants) {
		d.revoke(o.topic(topic), want.TopicGrants[topic], have.TopicGrants[topic])
	}
	d.policies(o, want.Policies, have.Policies, have.Policies[Keep])
	for _, name := range sorted(want.Topics) {
		d.topic(o.topic(name), want.Topics[name], have.Topics[name], want.Policies[Keep])
	}
	for _, name := range sorted(have.Topics) {
		if want.Topics[name] == nil {
			d.strange(o.topic(name), "is a topic that Deed does not use; delete it, or find out who made it")
		}
	}
	d.grant(o, want.Grants, have.Grants)
	for _, topic := range sorted(want.TopicGrants) {
		d.grant(o.topic(topic), want.TopicGrants[topic], have.TopicGrants[topic])
	}
}

func (o Object) topic(name string) Object { return Object{o.Tenant, o.Domain, name} }

func (d *differ) topic(o Object, want, have *Topic, retention Value) {
	switch {
	case have == nil:
		d.step(Step{Verb: Create, Object: o, To: want.Partitions})
		have = &Topic{}
	case have.Partitions != want.Partitions:
		d.refuse(o, "%s", partitions(have.Partitions, want.Partitions))
	}
	d.policies(o, want.Policies, have.Policies, retention)
	d.schema(o, want.Schema, have.Schema)
}

// partitions says why a topic keeps those that it has.
func partitions(have, want Count) string {
	text := fmt.Sprintf("%v where the configuration says %v: ", have, want)
	switch {
	case have == 0 || want == 0:
		return text + "neither can be made of the other; delete the topic if nothing of worth is in it"
	case have > want:
		return text + fmt.Sprintf("what is stored in the others would be lost; set partitions to %d", int(have))
	default:
		return text + fmt.Sprintf("calls that are open would go on in another partition, out of order; set partitions to %d", int(have))
	}
}

func (d *differ) policies(o Object, want, have map[Policy]Value, otherwise Value) {
	both := maps.Clone(have)
	if both == nil {
		both = map[Policy]Value{}
	}
	maps.Copy(both, want)
	for _, p := range slices.SortedFunc(maps.Keys(both), inOrder) {
		if have[p] == want[p] {
			continue
		}
		s := Step{Verb: Set, Object: o, Policy: p, From: have[p], To: want[p]}
		if p == Keep {
			s.Erases = erases(have[p], cmpValue(want[p], otherwise))
		}
		d.step(s)
	}
}

// cmpValue is v, or what holds where there is none.
func cmpValue(v, otherwise Value) Value {
	if v == nil {
		return otherwise
	}
	return v
}

// erases says what goes when retention changes. What nobody set has protected nothing yet.
func erases(from, to Value) string {
	before, set := from.(Retention)
	after, ok := to.(Retention)
	if !set || !ok || !after.shorterThan(before) {
		return ""
	}
	return fmt.Sprintf("Pulsar deletes what is older than %v", after)
}

func (d *differ) schema(o Object, want, have *Schema) {
	switch {
	case want == nil && have == nil, want != nil && have != nil && *want == *have:
	case want == nil:
		d.strange(o, "has a schema (%v), and should have none: whoever can write there registered it", have)
	case have == nil:
		d.step(Step{Verb: Describe, Object: o, To: *want})
	default:
		d.step(Step{Verb: Describe, Object: o, From: *have, To: *want})
	}
}

// revoke takes away what is too much.
func (d *differ) revoke(o Object, want, have map[string]Names) {
	for _, role := range sorted(have) {
		left, wanted := want[role]
		switch {
		case !wanted:
			d.step(Step{Verb: Revoke, Object: o, Role: role, From: have[role]})
		case left != have[role] && left.within(have[role]):
			d.step(Step{Verb: Grant, Object: o, Role: role, From: have[role], To: left})
		}
	}
}

// grant gives what is missing.
func (d *differ) grant(o Object, want, have map[string]Names) {
	for _, role := range sorted(want) {
		before, has := have[role]
		switch {
		case !has:
			d.step(Step{Verb: Grant, Object: o, Role: role, To: want[role]})
		case !want[role].within(before):
			d.step(Step{Verb: Grant, Object: o, Role: role, From: before, To: want[role]})
		}
	}
}

// inOrder is the order of the constants.
func inOrder(a, b Policy) int {
	all := []Policy{AutoCreation, DeleteIdle, Deduplication, KeepUncompacted, Keep, MessageTTL, Backlog, SchemaUpdates, Compatibility, SchemaForced, Compaction}
	return cmp.Or(slices.Index(all, a)-slices.Index(all, b), strings.Compare(string(a), string(b)))
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
