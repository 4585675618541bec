package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

const (
	eachQuery   = 40 // how often each kind of search is made, of something else each time
	pagesDeep   = 40 // pages that are turned, one after the other
	maxSearchMs = 100
)

// query is a kind of search that somebody makes.
type query struct {
	name string
	ask  func(r *rand.Rand, p *past) url.Values
}

// queries are the searches that a reviewer's tools make, each filter by itself and several together.
func queries() []query {
	of := func(pairs ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	person := func(r *rand.Rand) string { return personName(skewed(r, storyPeople)) }
	agent := func(r *rand.Rand) string { return agentName(r.IntN(storyAgents)) }
	some := func(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }
	tool := func(r *rand.Rand) string {
		return some(r, "payments.balance", "payments.payments", "payments.refund", "files.read_file", "files.write_file")
	}
	ticket := func(r *rand.Rand, p *past) string { return strconv.FormatInt(r.Int64N(p.calls), 10) }
	one := func(name string, value func(*rand.Rand) string) query {
		return query{name, func(r *rand.Rand, _ *past) url.Values { return of(name, value(r)) }}
	}
	q := func(name string, text func(*rand.Rand, *past) string) query {
		return query{name, func(r *rand.Rand, p *past) url.Values { return of("q", text(r, p)) }}
	}
	return []query{
		{"the newest", func(*rand.Rand, *past) url.Values { return of() }},
		one("person", person),
		one("agent", agent),
		one("tool", tool),
		{"upstream", func(r *rand.Rand, _ *past) url.Values { return of("tool", some(r, "payments.", "files.")) }},
		{"tools that begin so", func(r *rand.Rand, _ *past) url.Values { return of("tool", some(r, "payments.ch*", "files.w*")) }},
		one("domain", func(r *rand.Rand) string { return some(r, "payments", "source") }),
		one("outcome", func(r *rand.Rand) string { return some(r, "result", "failed", "denied", "expired") }),
		one("code", func(r *rand.Rand) string { return some(r, "ok", "tool_error", "denied_by_policy", "denied_by_person") }),
		one("state", func(r *rand.Rand) string { return some(r, "closed", "running", "released") }),
		one("policy", func(r *rand.Rand) string {
			return some(r, "everybody", "large-refunds-by-hand", "refunds-need-a-lead", "only-notes")
		}),
		one("approver", func(r *rand.Rand) string { return leadName(r.IntN(storyLeads)) }),
		{"session", func(r *rand.Rand, _ *past) url.Values {
			n := skewed(r, storyPeople)
			return of("session", sessionOf(n, (n+r.IntN(perStoryAgent))%storyAgents))
		}},
		{"trace", func(r *rand.Rand, p *past) url.Values { return of("trace", traceOf(r.Int64N(p.calls))) }},
		{"an hour of it", func(r *rand.Rand, p *past) url.Values {
			since, until := p.window(r)
			return of("since", since, "until", until)
		}},
		{"argument", func(r *rand.Rand, _ *past) url.Values { return of("arg", "/amount="+strconv.Itoa(101+r.IntN(300))) }},
		{"argument of many", func(r *rand.Rand, _ *past) url.Values { return of("arg", "/account="+some(r, "acc-ada", "acc-alan")) }},
		q("a rare word", func(r *rand.Rand, p *past) string { return "ticket-" + ticket(r, p) }),
		q("a common word", func(r *rand.Rand, _ *past) string { return word(skewed(r, 100)) }),
		q("two words", func(r *rand.Rand, _ *past) string { return word(skewed(r, 300)) + " " + word(skewed(r, storyWords)) }),
		q("three rare words", func(r *rand.Rand, _ *past) string {
			return word(r.IntN(storyWords)) + " " + word(r.IntN(storyWords)) + " " + word(r.IntN(storyWords))
		}),
		q("words of a reason", func(*rand.Rand, *past) string { return "refunds made people" }),
		q("beginning of few", func(r *rand.Rand, p *past) string { return "ticket-" + ticket(r, p)[:1] + "77*" }),
		q("beginning of many", func(r *rand.Rand, _ *past) string { return word(r.IntN(storyWords))[:3] + "*" }),
		q("beginning of all", func(r *rand.Rand, _ *past) string {
			return some(r, "01*", "0*", "person-*", "agent*", "p*", "session-*")
		}),
		q("two beginnings", func(r *rand.Rand, _ *past) string { return word(r.IntN(storyWords))[:2] + "* ticket-1*" }),
		q("nothing", func(r *rand.Rand, _ *past) string { return "nobody-said-" + word(r.IntN(storyWords)) }),
		{"four together", func(r *rand.Rand, _ *past) url.Values {
			return of("person", person(r), "tool", tool(r), "outcome", some(r, "result", "denied", "failed"), "domain", some(r, "payments", "source"))
		}},
		{"words, person, tool, time", func(r *rand.Rand, p *past) url.Values {
			since, until := p.window(r)
			return of("q", word(skewed(r, 300)), "person", person(r), "tool", "files.write_file", "since", since, "until", until)
		}},
		{"beginning, agent, time", func(r *rand.Rand, p *past) url.Values {
			since, until := p.window(r)
			return of("q", word(r.IntN(storyWords))[:2]+"*", "agent", agent(r), "since", since, "until", until)
		}},
		{"three that exclude each other", func(r *rand.Rand, _ *past) url.Values {
			return of("policy", "only-notes", "tool", "payments.balance", "agent", agent(r))
		}},
	}
}

// window is a part of the time of the history, a tenth of it.
func (p *past) window(r *rand.Rand) (since, until string) {
	all := p.last.Sub(p.first)
	from := p.first.Add(time.Duration(r.Float64() * 0.9 * float64(all)))
	return from.UTC().Format(time.RFC3339Nano), from.Add(all / 10).UTC().Format(time.RFC3339Nano)
}

// found is what a kind of search took.
type found struct {
	Name      string  `json:"search"`
	Searches  int     `json:"searches"`
	Calls     float64 `json:"calls_found"` // on a page, on average
	P50Millis float64 `json:"p50_ms"`
	P99Millis float64 `json:"p99_ms"`
	MaxMillis float64 `json:"max_ms"`
	CPUP99    float64 `json:"cpu_p99_ms"` // of the broker, which is what remains where nobody else wants a CPU

	latencies, ran []time.Duration
	calls          int
}

// took is what a search took, by the clock and of the broker's CPU time.
type took struct{ clock, cpu time.Duration }

func (f *found) add(t took, calls int) {
	f.latencies, f.ran, f.calls = append(f.latencies, t.clock), append(f.ran, t.cpu), f.calls+calls
}

func (f *found) finish() {
	slices.Sort(f.latencies)
	slices.Sort(f.ran)
	f.CPUP99 = millis(percentile(f.ran, 99))
	f.Searches, f.Calls = len(f.latencies), float64(f.calls)/float64(max(len(f.latencies), 1))
	f.P50Millis, f.P99Millis, f.MaxMillis = millis(percentile(f.latencies, 50)), millis(percentile(f.latencies, 99)), millis(percentile(f.latencies, 100))
}

// foundPage is as much of an answer as the benchmark looks at.
type foundPage struct {
	Items []struct {
		Opened time.Time `json:"opened"`
	} `json:"items"`
	Next string `json:"next"`
}

// page asks for one page of calls, and says how long that took.
func (p *past) page(ctx context.Context, v url.Values) (got foundPage, t took, err error) {
	before, err := ranFor(p.pid)
	if err != nil {
		return got, t, err
	}
	begun := time.Now()
	err = p.ask(ctx, http.MethodGet, p.reader, "/v1/calls?"+v.Encode(), nil, &got)
	t.clock = time.Since(begun)
	after, cpuErr := ranFor(p.pid)
	t.cpu = max(after-before, 0)
	return got, t, errors.Join(err, cpuErr)
}

// extent finds out when the history begins and ends.
func (p *past) extent(ctx context.Context) error {
	newest, _, err := p.page(ctx, url.Values{"limit": {"1"}})
	if err != nil {
		return err
	}
	if len(newest.Items) == 0 {
		return fmt.Errorf("the history in %s is empty", p.dir)
	}
	p.last = newest.Items[0].Opened
	oldest, _, err := p.page(ctx, url.Values{"trace": {traceOf(0)}})
	if err != nil {
		return err
	}
	if len(oldest.Items) == 0 {
		return fmt.Errorf("the first call is not in the history in %s", p.dir)
	}
	p.first = oldest.Items[0].Opened
	return nil
}

// search makes all kinds of searches in turns, each of other words every time, then turns pages.
func (p *past) search(ctx context.Context) ([]*found, error) {
	if err := p.extent(ctx); err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(storySeed, 1)) //nolint:gosec // the same searches each time
	kinds, rows := queries(), []*found{}
	for _, k := range kinds {
		rows = append(rows, &found{Name: k.name})
	}
	for range eachQuery {
		for i, k := range kinds {
			v := k.ask(r, p)
			got, took, err := p.page(ctx, v)
			if err != nil {
				return nil, fmt.Errorf("search by %s: %w", k.name, err)
			}
			rows[i].add(took, len(got.Items))
		}
	}
	for _, deep := range []struct {
		name string
		by   url.Values
	}{{"page after page", url.Values{}}, {"page after page of a word", url.Values{"q": {word(0)}}}} {
		row := &found{Name: deep.name}
		for range pagesDeep {
			got, took, err := p.page(ctx, deep.by)
			if err != nil {
				return nil, fmt.Errorf("turn pages: %w", err)
			}
			row.add(took, len(got.Items))
			if got.Next == "" {
				break
			}
			deep.by.Set("cursor", got.Next)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// searchReport is what -search found.
type searchReport struct {
	Go          string   `json:"go"`
	CPUs        int      `json:"cpus"`
	Load        float64  `json:"load_average"`
	CallsMade   int64    `json:"calls"`
	LogBytes    int64    `json:"log_bytes"`
	IndexBytes  int64    `json:"index_bytes"`
	Searches    []*found `json:"searches"`
	All         *found   `json:"all"`
	Proof       proof    `json:"verify"`
	TargetMs    float64  `json:"target_ms"`
	SearchesMet bool     `json:"met"`
}

// sum puts all searches together.
func (s *searchReport) sum() {
	s.All = &found{Name: "all"}
	for _, f := range s.Searches {
		s.All.latencies, s.All.calls = append(s.All.latencies, f.latencies...), s.All.calls+f.calls
		s.All.ran = append(s.All.ran, f.ran...)
		f.finish()
	}
	s.All.finish()
	s.TargetMs, s.SearchesMet = maxSearchMs, s.All.P99Millis <= maxSearchMs
}

func (s *searchReport) print(out io.Writer, proved bool) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := &printer{w: table}
	p.line("search\tsearches\tcalls found\tp50 ms\tp99 ms\tmax ms\tCPU p99 ms\t")
	for _, f := range append(slices.Clip(s.Searches), s.All) {
		p.line("%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t", f.Name, f.Searches, f.Calls, f.P50Millis, f.P99Millis, f.MaxMillis, f.CPUP99)
	}
	if p.err == nil {
		p.err = table.Flush()
	}
	p.w = out
	p.line("\n%s, %d CPUs, load average %.1f before; %d calls, log %d MiB, index %d MiB; pages of 50, over HTTP, from a broker that also serves",
		s.Go, s.CPUs, s.Load, s.CallsMade, s.LogBytes>>20, s.IndexBytes>>20)
	if proved {
		p.line("deed verify: %d records in %.1f s (%.1f s CPU: %.0f a second of CPU), %d MiB resident at most, %d findings",
			s.Proof.Records, s.Proof.Seconds, s.Proof.CPUSeconds, float64(s.Proof.Records)/max(s.Proof.CPUSeconds, 0.001), s.Proof.RSSBytes>>20, s.Proof.Findings)
	}
	word := "met"
	if !s.SearchesMet {
		word = "MISSED"
	}
	p.line("%-6s p99 of all searches is %.1f ms, target %.0f ms", word, s.All.P99Millis, s.TargetMs)
	return p.err
}
