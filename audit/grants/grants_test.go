package grants_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/grants"
)

var start = time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)

func lead(name string) audit.Identity {
	return audit.Identity{Issuer: "https://idp.example", Principal: name, Roles: []string{"lead"}, Expires: start.Add(time.Hour)}
}

func intent() audit.Intent {
	return audit.Intent{
		Tool: "payments.refund", Definition: "d1",
		Identity: audit.Identity{Issuer: "https://idp.example", Principal: "alice", Chain: []audit.Actor{{ID: "copilot"}}},
	}
}

func grant(where ...audit.Condition) audit.Grant {
	return audit.Grant{
		Call: "call", Domain: "payments", Tool: "payments.refund", Definition: "d1",
		Issuer: "https://idp.example", Principal: "alice", Chain: []string{"copilot"},
		Where: where, Uses: 2, Until: start.Add(time.Hour), By: lead("bob"), Decision: audit.Decision{Effect: audit.Allow},
	}
}

func event(typ audit.Type, id string, at time.Time, data any) audit.Event {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return audit.Event{
		SpecVersion: "1.0", ID: id, Type: typ, Source: "deed://acme/one", Time: at,
		Tenant: "acme", Domain: audit.OwnDomain, Topic: audit.TopicControl, Data: b,
	}
}

func apply(t *testing.T, b *grants.Book, e audit.Event, want bool) {
	t.Helper()
	if counted, err := b.Apply(e); err != nil || counted != want {
		t.Fatalf("%s %s: counted %t, %v; want %t", e.Type, e.ID, counted, err, want)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	is := func(v string) audit.Condition { return audit.Condition{Field: "/f", Equals: json.RawMessage(v)} }
	for name, test := range map[string]struct {
		where     audit.Condition
		arguments string
		want      bool
	}{
		"equal text":            {is(`"EUR"`), `{"f":"EUR"}`, true},
		"other text":            {is(`"EUR"`), `{"f":"eur"}`, false},
		"text like a number":    {is(`1`), `{"f":"1"}`, false},
		"equal numbers":         {is(`100`), `{"f":1e2}`, true},
		"equal decimals":        {is(`0.10`), `{"f":0.1}`, true},
		"unequal decimals":      {is(`0.1`), `{"f":0.10000000000000001}`, false},
		"equal objects":         {is(`{"a":[1,null],"b":true}`), `{"f":{"b":true,"a":[1.0,null]}}`, true},
		"an object with more":   {is(`{"a":1}`), `{"f":{"a":1,"b":2}}`, false},
		"an array in disorder":  {is(`[1,2]`), `{"f":[2,1]}`, false},
		"null":                  {is(`null`), `{"f":null}`, true},
		"null is not nothing":   {is(`null`), `{}`, false},
		"below the bound":       {audit.Condition{Field: "/f", AtMost: "200"}, `{"f":199.99}`, true},
		"at the bound":          {audit.Condition{Field: "/f", AtMost: "200"}, `{"f":2e2}`, true},
		"above the bound":       {audit.Condition{Field: "/f", AtMost: "200"}, `{"f":200.000001}`, false},
		"a bound of text":       {audit.Condition{Field: "/f", AtMost: "200"}, `{"f":"1"}`, false},
		"no argument to bound":  {audit.Condition{Field: "/f", AtMost: "200"}, `{"g":1}`, false},
		"at least":              {audit.Condition{Field: "/f", AtLeast: "-1"}, `{"f":-1}`, true},
		"less than that":        {audit.Condition{Field: "/f", AtLeast: "-1"}, `{"f":-1.5}`, false},
		"deep":                  {audit.Condition{Field: "/a/1/b~1c", AtMost: "1"}, `{"a":[0,{"b/c":1}]}`, true},
		"an index with a zero":  {audit.Condition{Field: "/a/01", AtMost: "1"}, `{"a":[0,1]}`, false},
		"a number beyond sense": {audit.Condition{Field: "/f", AtLeast: "1"}, `{"f":1e999999999}`, false},
		"no arguments":          {is(`1`), ``, false},
	} {
		g := grants.Grant{Grant: grant(test.where)}
		if got := g.Covers(intent(), []byte(test.arguments)); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestAGrantCoversNothingElse(t *testing.T) {
	t.Parallel()
	g := grants.Grant{Grant: grant()}
	if !g.Covers(intent(), []byte(`{}`)) {
		t.Fatal("a grant without conditions does not cover its own call")
	}
	for name, change := range map[string]func(*audit.Intent){
		"another tool":       func(i *audit.Intent) { i.Tool = "payments.charge" },
		"another definition": func(i *audit.Intent) { i.Definition = "d2" },
		"another person":     func(i *audit.Intent) { i.Identity.Principal = "erin" },
		"an alice elsewhere": func(i *audit.Intent) { i.Identity.Issuer = "https://other.example" },
		"another agent":      func(i *audit.Intent) { i.Identity.Chain = []audit.Actor{{ID: "sub-agent"}} },
		"a longer chain":     func(i *audit.Intent) { i.Identity.Chain = append([]audit.Actor{{ID: "x"}}, i.Identity.Chain...) },
		"no agent":           func(i *audit.Intent) { i.Identity.Chain = nil },
	} {
		in := intent()
		change(&in)
		if g.Covers(in, []byte(`{}`)) {
			t.Errorf("it covers %s", name)
		}
	}
}

func TestGrantsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*audit.Grant){
		"by an agent":                func(g *audit.Grant) { g.By.Chain = []audit.Actor{{ID: "copilot"}} },
		"by nobody":                  func(g *audit.Grant) { g.By.Principal = "" },
		"without permission":         func(g *audit.Grant) { g.Decision.Effect = audit.Deny },
		"for no call":                func(g *audit.Grant) { g.Uses = 0 },
		"for too many calls":         func(g *audit.Grant) { g.Uses = grants.MaxUses + 1 },
		"that is over":               func(g *audit.Grant) { g.Until = start },
		"that lasts too long":        func(g *audit.Grant) { g.Until = start.Add(grants.MaxLife + time.Second) },
		"with no field":              func(g *audit.Grant) { g.Where = []audit.Condition{{AtMost: "1"}} },
		"with a field that is none":  func(g *audit.Grant) { g.Where = []audit.Condition{{Field: "amount", AtMost: "1"}} },
		"with nothing to compare":    func(g *audit.Grant) { g.Where = []audit.Condition{{Field: "/amount"}} },
		"with two comparisons":       func(g *audit.Grant) { g.Where = []audit.Condition{{Field: "/amount", AtMost: "1", AtLeast: "0"}} },
		"with too many conditions":   func(g *audit.Grant) { g.Where = make([]audit.Condition, grants.MaxConditions+1) },
		"with a bound out of bounds": func(g *audit.Grant) { g.Where = []audit.Condition{{Field: "/amount", AtMost: "1e401"}} },
	} {
		g := grant()
		change(&g)
		var b grants.Book
		if counted, err := b.Apply(event(audit.GrantMade, "g", start, g)); err == nil || counted || b.Len() != 0 {
			t.Errorf("a grant %s: counted %t, %v", name, counted, err)
		}
	}
}

func TestAGrantIsUsedSoOftenAndNoLonger(t *testing.T) {
	t.Parallel()
	var b grants.Book
	apply(t, &b, event(audit.GrantMade, "g", start, grant()), true)
	apply(t, &b, event(audit.GrantMade, "g", start, grant()), false) // the same event again
	apply(t, &b, event(audit.GrantUsed, "u1", start, audit.GrantUse{Grant: "g", CallID: "a", Digest: "x"}), true)
	apply(t, &b, event(audit.GrantUsed, "u2", start, audit.GrantUse{Grant: "g", CallID: "a", Digest: "x"}), false)
	apply(t, &b, event(audit.GrantUsed, "u3", start, audit.GrantUse{Grant: "other", CallID: "a", Digest: "x"}), false)
	apply(t, &b, event(audit.GrantUsed, "u4", start, audit.GrantUse{Grant: "g", CallID: "b", Digest: "x"}), true)
	apply(t, &b, event(audit.GrantUsed, "u5", start, audit.GrantUse{Grant: "g", CallID: "c", Digest: "x"}), false)
	if got := b.Covering(intent(), []byte(`{}`), start); len(got) != 0 {
		t.Errorf("used up, it still covers: %+v", got)
	}
	if g, ok := b.Get("g"); !ok || !g.UsedFor("a", "x") || g.UsedFor("c", "x") || g.UsedFor("a", "y") {
		t.Errorf("the grant is %+v", g)
	}

	apply(t, &b, event(audit.GrantMade, "h", start, grant()), true)
	if got := b.Covering(intent(), []byte(`{}`), start.Add(2*time.Hour)); len(got) != 0 {
		t.Error("over, it still covers")
	}
	apply(t, &b, event(audit.GrantUsed, "late", start.Add(2*time.Hour), audit.GrantUse{Grant: "h", CallID: "a", Digest: "x"}), false)
	apply(t, &b, event(audit.GrantEnded, "end", start, audit.GrantEnd{Grant: "h", By: lead("bob")}), true)
	apply(t, &b, event(audit.GrantEnded, "end2", start, audit.GrantEnd{Grant: "h", By: lead("bob")}), false)
	if got := b.Covering(intent(), []byte(`{}`), start); len(got) != 0 {
		t.Error("taken back, it still covers")
	}
	b.Forget(start.Add(2 * time.Hour))
	if b.Len() != 0 {
		t.Errorf("%d grants are kept for ever", b.Len())
	}
}

// However uses by many replicas come to stand in the log, every reader counts the
// same ones, no more than were granted, and none after the end.
func TestUsesNeverExceedTheGrant(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var one, other grants.Book
		g := grant()
		g.Uses = rapid.IntRange(1, 4).Draw(t, "uses")
		counted, over := 0, false
		log := []audit.Event{event(audit.GrantMade, "g", start, g)}
		for i := range rapid.IntRange(0, 12).Draw(t, "events") {
			at := start.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minute")) * time.Minute)
			call := fmt.Sprintf("call-%d", rapid.IntRange(0, 5).Draw(t, "call"))
			e := event(audit.GrantUsed, fmt.Sprint(i), at, audit.GrantUse{Grant: "g", CallID: call, Digest: "x"})
			if rapid.IntRange(0, 9).Draw(t, "end") == 0 {
				e = event(audit.GrantEnded, fmt.Sprint(i), at, audit.GrantEnd{Grant: "g", By: lead("bob")})
			}
			log = append(log, e)
		}
		for _, e := range log {
			took, err := one.Apply(e)
			again, errAgain := other.Apply(e)
			if err != nil || errAgain != nil || took != again {
				t.Fatalf("readers disagree on %s: %t %v, %t %v", e.ID, took, err, again, errAgain)
			}
			if e.Type == audit.GrantUsed && took {
				counted++
				if over || e.Time.After(g.Until) {
					t.Fatalf("use %s counts after the end", e.ID)
				}
			}
			over = over || e.Type == audit.GrantEnded
		}
		if counted > g.Uses {
			t.Fatalf("%d uses of %d count", counted, g.Uses)
		}
	})
}

// No arguments and no condition make matching panic, or take long.
func FuzzCovers(f *testing.F) {
	f.Add("/amount", `100`, `200`, `{"amount":150}`)
	f.Add("/a/0/~1", `{"a":[]}`, `1e400`, `{"a":[{"/":1e-400}]}`)
	f.Fuzz(func(t *testing.T, field, equals, bound, arguments string) {
		for _, c := range []audit.Condition{
			{Field: field, Equals: json.RawMessage(equals)}, {Field: field, AtMost: bound}, {Field: field, AtLeast: bound},
		} {
			g := grant(c)
			if grants.Validate(g, start) == nil {
				grants.Grant{Grant: g}.Covers(intent(), []byte(arguments))
			}
		}
	})
}
