package denylist_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/denylist"
)

func caller() *agents.Identity {
	return &agents.Identity{
		Issuer: "https://idp.example", Principal: "alice", Chain: []agents.Actor{{ID: "sub-agent"}, {ID: "copilot"}},
		Session: "s-1", TokenID: "t-1", KeyID: "k-1", TokenDigest: strings.Repeat("ab", 32), IssuedAt: time.Unix(1000, 0),
	}
}

func TestEachKindStopsWhatItNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("ab", 32)
	tests := map[string]struct {
		entry denylist.Entry
		stops bool
	}{
		"the current actor":            {denylist.Entry{Kind: denylist.Agent, Value: "sub-agent"}, true},
		"an agent further up":          {denylist.Entry{Kind: denylist.Agent, Value: "copilot"}, true},
		"another agent":                {denylist.Entry{Kind: denylist.Agent, Value: "alice"}, false},
		"the person":                   {denylist.Entry{Kind: denylist.Principal, Value: "alice"}, true},
		"a person of the agent's name": {denylist.Entry{Kind: denylist.Principal, Value: "copilot"}, false},
		"at that issuer":               {denylist.Entry{Kind: denylist.Principal, Value: "alice", Issuer: "https://idp.example"}, true},
		"at another issuer":            {denylist.Entry{Kind: denylist.Principal, Value: "alice", Issuer: "https://other.example"}, false},
		"the token by digest":          {denylist.Entry{Kind: denylist.Token, Value: digest}, true},
		"the token by jti":             {denylist.Entry{Kind: denylist.Token, Value: "t-1"}, true},
		"the session":                  {denylist.Entry{Kind: denylist.Session, Value: "s-1"}, true},
		"another session":              {denylist.Entry{Kind: denylist.Session, Value: "t-1"}, false},
		"the key":                      {denylist.Entry{Kind: denylist.Key, Value: "k-1", Issuer: "https://idp.example"}, true},
		"the whole chain":              {denylist.Entry{Kind: denylist.Chain, Value: "alice", Agents: []string{"sub-agent", "copilot"}}, true},
		"the chain it grew from":       {denylist.Entry{Kind: denylist.Chain, Value: "alice", Agents: []string{"copilot"}}, true},
		"a longer chain":               {denylist.Entry{Kind: denylist.Chain, Value: "alice", Agents: []string{"x", "sub-agent", "copilot"}}, false},
		"another root":                 {denylist.Entry{Kind: denylist.Chain, Value: "alice", Agents: []string{"sub-agent"}}, false},
		"another's chain":              {denylist.Entry{Kind: denylist.Chain, Value: "bob", Agents: []string{"copilot"}}, false},
		"tokens issued before":         {denylist.Entry{Kind: denylist.Principal, Value: "alice", IssuedBefore: time.Unix(1001, 0)}, true},
		"tokens issued since":          {denylist.Entry{Kind: denylist.Principal, Value: "alice", IssuedBefore: time.Unix(1000, 0)}, false},
		"until later":                  {denylist.Entry{Kind: denylist.Agent, Value: "copilot", Until: time.Unix(2000, 0)}, true},
		"until now":                    {denylist.Entry{Kind: denylist.Agent, Value: "copilot", Until: time.Unix(1500, 0)}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l denylist.List
			tt.entry.ID = "1"
			if err := tt.entry.Validate(); err != nil {
				t.Fatal(err)
			}
			l.Add(denylist.Entry{ID: "0", Kind: denylist.Agent, Value: "nobody"})
			l.Add(tt.entry)
			e, ok := l.Denies(caller(), time.Unix(1500, 0))
			if ok != tt.stops || ok && e.ID != "1" {
				t.Errorf("stopped: %t by %+v", ok, e)
			}
		})
	}
}

func TestNobodyIsStoppedByWhatTheyDoNotHave(t *testing.T) {
	t.Parallel()
	var l denylist.List
	l.Add(denylist.Entry{ID: "1", Kind: denylist.Session, Value: ""})
	if e, ok := l.Denies(&agents.Identity{Principal: "alice"}, time.Now()); ok {
		t.Errorf("stopped by %+v", e)
	}
}

func TestEntriesComeOnceAndGo(t *testing.T) {
	t.Parallel()
	var l denylist.List
	now := time.Unix(1500, 0)
	changed := l.Changed()
	if !l.Add(denylist.Entry{ID: "1", Kind: denylist.Agent, Value: "copilot"}) || l.Add(denylist.Entry{ID: "1", Kind: denylist.Agent, Value: "other"}) {
		t.Error("an entry can be added twice")
	}
	<-changed
	l.Add(denylist.Entry{ID: "2", Kind: denylist.Agent, Value: "copilot", Until: now.Add(time.Minute)})
	changed = l.Changed()
	if !l.Lift("1") || l.Lift("1") {
		t.Error("an entry can be lifted twice")
	}
	<-changed
	if _, ok := l.Denies(caller(), now); !ok {
		t.Error("lifting one entry lifted the other of its target")
	}
	l.Forget(now.Add(time.Minute))
	if l.Len() != 0 || len(l.Entries(now)) != 0 {
		t.Errorf("%d are left", l.Len())
	}
	if _, ok := l.Denies(caller(), now); ok {
		t.Error("stopped by what has ended")
	}
}

func TestWhatIsCoveredByAnother(t *testing.T) {
	t.Parallel()
	now := time.Unix(1500, 0)
	forever := denylist.Entry{ID: "1", Kind: denylist.Agent, Value: "copilot"}
	hour := denylist.Entry{ID: "1", Kind: denylist.Agent, Value: "copilot", Until: now.Add(time.Hour)}
	before := denylist.Entry{ID: "1", Kind: denylist.Principal, Value: "alice", IssuedBefore: now}
	all := denylist.Entry{ID: "1", Kind: denylist.Principal, Value: "alice"}
	for _, tt := range []struct {
		have, want denylist.Entry
		covered    bool
	}{{forever, hour, true}, {hour, forever, false}, {hour, hour, true}, {all, before, true}, {before, all, false}} {
		var l denylist.List
		l.Add(tt.have)
		if _, ok := l.Covering(tt.want, now); ok != tt.covered {
			t.Errorf("%+v covers %+v: %t", tt.have, tt.want, ok)
		}
	}
}

func TestLookingUpAllocatesNothing(t *testing.T) { // not in parallel: AllocsPerRun counts for the whole process
	var l denylist.List
	for i := range 1000 {
		l.Add(denylist.Entry{ID: fmt.Sprint(i), Kind: denylist.Agent, Value: fmt.Sprint("agent-", i)})
	}
	id, now := caller(), time.Now()
	if n := testing.AllocsPerRun(100, func() { l.Denies(id, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkDenies is what each call pays, with an empty list and with a long one.
func BenchmarkDenies(b *testing.B) {
	for _, size := range []int{0, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			var l denylist.List
			for i := range size {
				l.Add(denylist.Entry{ID: fmt.Sprint(i), Kind: denylist.Session, Value: fmt.Sprint("s-", i+10)})
			}
			id, now := caller(), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				l.Denies(id, now)
			}
		})
	}
}
