package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	pastCalls       = 20_000 // unless -calls says otherwise
	pastConnections = 32
	pastSlice       = 20_000 // calls after which leads look at what waits
	leftToExpire    = 10     // of so many held calls one is
)

// past is a broker with a history, and who may ask it.
type past struct {
	*subject
	dir    string
	calls  int64
	tokens map[[2]int]string // of those who call, by person and agent
	api    string            // where the broker's own API is
	reader string            // the token of who may read everything
	client *http.Client
	first  time.Time // when its first call was made
	last   time.Time
}

// openPast starts a broker on a history that was kept in dir, or on none.
func (o *options) openPast(ctx context.Context, dir string) (_ *past, err error) {
	shelf, ledger := filepath.Join(dir, "shelf"), filepath.Join(dir, "ledger")
	for _, d := range []string{filepath.Join(shelf, "notes"), ledger} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	for n := range storyNotes {
		if err := os.WriteFile(filepath.Join(shelf, filepath.FromSlash(notePath(n))), []byte(noteText), 0o600); err != nil {
			return nil, err
		}
	}
	s, err := startDeed(ctx, deedConfig{
		dir: dir, echo: append(slices.Clip(o.child), subjectEcho), profile: o.profile,
		more: storyUpstreams(shelf, ledger), policy: storyPolicy,
		also: map[string]any{"domains": storyDomains(), "holds": map[string]any{"wait": "1ms", "max_open": 10_000}},
	})
	if err != nil {
		return nil, fmt.Errorf("start deed: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	p := &past{subject: s, dir: dir, calls: int64(o.calls), tokens: map[[2]int]string{}, api: strings.TrimSuffix(s.url, "/mcp"), client: &http.Client{Timeout: time.Minute}}
	if p.reader, err = s.person("auditor"); err != nil {
		return nil, err
	}
	for person := range storyPeople {
		for i := range perStoryAgent {
			who := [2]int{person, (person + i) % storyAgents}
			if p.tokens[who], err = s.sign(claimsOf(who[0], who[1])); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// teller is a connection over which the story's calls are made.
type teller struct {
	wire *wire
	past *past
	head string
	next *atomic.Int64
}

func (p *past) tellers(ctx context.Context, next *atomic.Int64) ([]*teller, error) {
	var all []*teller
	nobody := *p.subject
	nobody.token, nobody.tool = "", ""
	for range pastConnections {
		w, err := dial(ctx, &nobody, generations()[1])
		if err != nil {
			return all, err
		}
		head := strings.TrimSuffix(w.head, "Mcp-Name: \r\n")
		all = append(all, &teller{wire: w, past: p, head: head, next: next})
	}
	return all, nil
}

func (t *teller) close() error { return t.wire.close() }

func (t *teller) call() error {
	n := t.next.Add(1) - 1
	c := tell(n)
	w := t.wire
	w.head = t.head + "Mcp-Name: " + c.tool + "\r\nAuthorization: Bearer " + t.past.tokens[[2]int{c.person, c.agent}] + "\r\n"
	meta := strings.Replace(w.meta, `"_meta":{`, `"_meta":{"traceparent":"00-`+c.trace+`-00f067aa0ba902b7-01",`, 1)
	a, err := w.exchange(callOf(int(n), c.tool, c.arguments, meta))
	if err != nil {
		return err
	}
	if a.status != http.StatusOK || isError(a.body) != c.fails {
		return fmt.Errorf("call %d, %s %s, was answered with %d: %s", n, c.tool, c.arguments, a.status, a.body)
	}
	return nil
}

// write makes the calls, and has leads look now and then at those that wait.
func (p *past) write(ctx context.Context, stderr io.Writer) (err error) {
	var next atomic.Int64
	tellers, err := p.tellers(ctx, &next)
	defer func() {
		for _, t := range tellers {
			err = errors.Join(err, t.close())
		}
	}()
	if err != nil {
		return err
	}
	begun := time.Now()
	for made := int64(0); made < p.calls; {
		some := min(pastSlice, p.calls-made)
		if _, err := drive(ctx, tellers, int(some), 0); err != nil {
			return err
		}
		made += some
		if err := p.decide(ctx); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(stderr, "bench: %d of %d calls after %v\n", made, p.calls, time.Since(begun).Round(time.Second)); err != nil {
			return err
		}
	}
	used, err := cpuTime(p.pid)
	if err != nil {
		return err
	}
	_, err = settled(ctx, p.subject, used)
	return err
}

// decide has leads approve and deny what waits, but for some that are left to expire.
func (p *past) decide(ctx context.Context) error {
	list := struct {
		Items []struct {
			ID     string `json:"call_id"`
			Digest string `json:"digest"`
		} `json:"items"`
	}{}
	for lead := range storyLeads {
		token, err := p.sign(map[string]any{"sub": leadName(lead), "roles": []string{"lead", "auditor"}, "client_id": peopleClient, "azp": peopleClient})
		if err != nil {
			return err
		}
		if err := p.ask(ctx, http.MethodGet, token, "/v1/calls?state=held&limit=500", nil, &list); err != nil {
			return err
		}
		for i, held := range list.Items {
			if i%storyLeads != lead || i%leftToExpire == leftToExpire-1 {
				continue
			}
			vote := map[string]string{"verdict": []string{"approve", "deny"}[i/storyLeads%2], "digest": held.Digest, "reason": "looked at it"}
			if err := p.ask(ctx, http.MethodPost, token, "/v1/calls/"+held.ID+"/approvals", vote, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask puts a request to the broker's API.
func (p *past) ask(ctx context.Context, method, token, path string, body, into any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, p.api+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := p.client.Do(r)
	if err != nil {
		return err
	}
	said, err := io.ReadAll(io.LimitReader(answer.Body, maxPage))
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s was answered with %s: %s", method, path, strconv.Itoa(answer.StatusCode), said)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(said, into)
}

const maxPage = 32 << 20
