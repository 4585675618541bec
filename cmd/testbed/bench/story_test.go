package bench

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestAStoryIsToldTheSameWayAgain, and has everything that searches ask for.
func TestAStoryIsToldTheSameWayAgain(t *testing.T) {
	t.Parallel()
	const calls = 20_000
	tools, words, refused := map[string]int{}, map[string]bool{}, 0
	for n := range int64(calls) {
		c := tell(n)
		if c != tell(n) {
			t.Fatalf("call %d differs: %+v", n, c)
		}
		if c.agent < 0 || c.agent >= storyAgents || (c.agent-c.person%storyAgents+storyAgents)%storyAgents >= perStoryAgent {
			t.Fatalf("call %d is by agent %d for person %d, who has no token", n, c.agent, c.person)
		}
		var arguments map[string]any
		if err := json.Unmarshal([]byte(c.arguments), &arguments); err != nil {
			t.Fatal(err)
		}
		for w := range strings.FieldsSeq(c.arguments) {
			words[w] = true
		}
		tools[c.tool]++
		if c.fails {
			refused++
		}
	}
	if len(tools) != 6 || len(words) < storyWords || refused < calls/50 || refused > calls/5 {
		t.Errorf("tools %v, %d words, %d refused", tools, len(words), refused)
	}
}

// TestSearchesAskForSomething: none is empty but the first, and few are the same twice.
func TestSearchesAskForSomething(t *testing.T) {
	t.Parallel()
	p := &past{calls: 1000, first: time.Unix(1000, 0), last: time.Unix(2000, 0)}
	r := rand.New(rand.NewPCG(1, 1))
	asked := map[string]bool{}
	for i, k := range queries() {
		for range 10 {
			v := k.ask(r, p)
			for name, values := range v {
				if len(values) != 1 || values[0] == "" {
					t.Errorf("%s: %s is %q", k.name, name, values)
				}
			}
			if (len(v) == 0) != (i == 0) {
				t.Errorf("%s asks %v", k.name, v)
			}
			asked[v.Encode()] = true
		}
	}
	if len(asked) < 100 {
		t.Errorf("only %d searches differ", len(asked))
	}
	since, err := url.ParseQuery(queries()[14].ask(r, p).Encode())
	if err != nil || !strings.HasPrefix(since.Get("since"), "1970-01-01T00:") {
		t.Errorf("the window is %v, %v", since, err)
	}
}

func TestSearchReport(t *testing.T) {
	t.Parallel()
	slow := &found{Name: "slow"}
	for range 100 {
		slow.add(took{200 * time.Millisecond, 20 * time.Millisecond}, 3)
	}
	s := searchReport{CallsMade: 5, Searches: []*found{slow}, Proof: proof{Records: 10, CPUSeconds: 2, Seconds: 1}}
	s.sum()
	var out bytes.Buffer
	if err := s.print(&out, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MISSED p99 of all searches is 200.0 ms", "10 records in 1.0 s (2.0 s CPU: 5 a second of CPU)", "slow"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}
