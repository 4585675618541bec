package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/broker/httpapi"
)

// TestReplicasOnOnePulsar has agents call at three brokers on one Pulsar while brokers
// and Pulsar are killed, and proves from the topics alone that nothing which was
// acknowledged was lost, that no tool ran twice or without its intent, that every call
// was closed, and that all brokers tell the same history. $DEED_TEST_CALLS says how many
// calls, if more than usual; 20,000 take about ten minutes on two cores.
func TestReplicasOnOnePulsar(t *testing.T) {
	total := usualCalls
	if more := os.Getenv("DEED_TEST_CALLS"); more != "" {
		var err error
		if total, err = strconv.Atoi(more); err != nil {
			t.Fatal(err)
		}
	}
	f := newFleet(t, 3)
	newLoad(f, total).prove(t, troubles())
}

// usualCalls are as many as there are while everything goes wrong once.
const usualCalls = 600

// prove runs the load while there is trouble, each at least once, and compares what the
// topics say then with what agents were told and what the tool did.
func (l *load) prove(t *testing.T, all []trouble) {
	t.Helper()
	f, total := l.fleet, l.total
	ended := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(ended)
		l.run(context.WithoutCancel(t.Context()))
	}()
	random := rand.New(rand.NewPCG(uint64(began.UnixNano()), 5)) // of who is killed
	for i := 0; ; i++ {
		made := int(l.next.Load())
		if i >= len(all) && made >= total {
			break
		}
		next := all[i%len(all)]
		t.Logf("%s, %d calls: %s", time.Since(began).Round(time.Second), made, next.what)
		next.make(t, f, random)
		f.rest(t, 2*time.Second)
	}
	l.quiet.Store(true)
	f.until(t, "the load ends", func() error {
		select {
		case <-ended:
			return nil
		default:
			return errors.New("agents are still at work")
		}
	})
	t.Logf("%s: %d attempts, %d answered, %d refused, %d unsure", time.Since(began).Round(time.Second), l.tries.Load(), len(l.told), len(l.refused), len(l.unsure))
	for _, r := range f.replicas {
		f.awaitReady(t, r)
	}
	f.denyHeld(t)
	f.equalHistories(t)
	for _, r := range f.replicas {
		if code, said := r.process().stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("%s ended with code %d:\n%s", r.name, code, said)
		}
	}
	f.home.must(t, []string{
		"verify", "--pulsar", f.tenant.URL, "--tenant", f.tenant.Name, "--token-file", f.tenant.TokenFile,
		"--key", f.key.Verifier().String(), "--closed",
	}, "verified: ")
	l.compare(t)
}

// denyHeld ends the calls whose agents have lost sight of them.
func (f *fleet) denyHeld(t *testing.T) {
	t.Helper()
	at := f.replicas[0]
	held, err := at.bob.Held(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range held {
		if h.State == "held" {
			_, _ = at.bob.Vote(t.Context(), h.CallID, httpapi.Approval{Verdict: string(audit.Reject), Digest: h.Digest, Reason: "nobody asks any more"})
		}
	}
}

// equalHistories waits until every replica's index tells the same of every call, and nothing is open.
func (f *fleet) equalHistories(t *testing.T) {
	t.Helper()
	f.until(t, "the replicas tell the same", func() error {
		var histories []string
		for _, r := range f.replicas {
			all, err := r.bob.Calls(t.Context(), nil, 0)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			var lines []string
			for _, c := range all {
				if c.State != "closed" {
					return fmt.Errorf("%s: call %s is %s", r.name, c.CallID, c.State)
				}
				lines = append(lines, fmt.Sprint(c.CallID, c.State, c.Outcome, c.Code, c.Opened, c.Closed, len(c.Votes)))
			}
			slices.Sort(lines)
			histories = append(histories, strings.Join(lines, "\n"))
		}
		for i, h := range histories[1:] {
			if h != histories[0] {
				return fmt.Errorf("%s and %s do not agree: %d and %d bytes of history", f.replicas[0].name, f.replicas[i+1].name, len(histories[0]), len(h))
			}
		}
		return nil
	})
}

// account is a call as the topics tell it.
type account struct {
	calls.Call
	token string
	lost  bool // what it was made with never came to be stored: it was not acknowledged, and must not have run
}

// compare holds what the topics say against what agents were told and what the tool did.
func (l *load) compare(t *testing.T) {
	t.Helper()
	stories := l.read(t)
	byToken := map[string]*account{}
	ends := map[audit.Type]int{}
	for id, s := range stories {
		ends[s.Closing.Type]++
		if s.State != calls.Closed {
			t.Errorf("call %s is %s", id, s.State)
		}
		if s.lost && s.Closing.Type == audit.CallResult {
			t.Errorf("call %s ran, and what it was made with is lost", id)
		}
		if s.token == "" {
			continue // refused before it was an intent
		}
		if byToken[s.token] != nil {
			t.Errorf("attempt %s has two intents", s.token)
		}
		byToken[s.token] = s
	}
	ran := l.fleet.worker.times()
	for token, n := range ran {
		s := byToken[token]
		switch {
		case n != 1:
			t.Errorf("attempt %s ran %d times", token, n)
		case s == nil:
			t.Errorf("attempt %s ran without an intent", token)
		case s.Closing.Type != audit.CallResult && s.Closing.Type != audit.CallUnknown:
			t.Errorf("attempt %s ran, and its call %s is closed as %s", token, s.ID, s.Closing.Type)
		case s.Intent.Decision.Effect == audit.Hold && s.Releasing.ID == "":
			t.Errorf("attempt %s ran without a release", token)
		}
	}
	late := 0
	for token, id := range l.told {
		s := byToken[token]
		switch {
		case s == nil || s.ID != id:
			t.Errorf("attempt %s was answered as call %s, which the topics do not have", token, id)
		case ran[token] != 1:
			t.Errorf("attempt %s was answered, and ran %d times", token, ran[token])
		case s.Closing.Type == audit.CallUnknown:
			late++ // its result was spooled, and its replica buried before it could write it
		case s.Closing.Type != audit.CallResult:
			t.Errorf("attempt %s was answered, and its call is closed as %s", token, s.Closing.Type)
		}
	}
	for token := range l.refused {
		if ran[token] != 0 {
			t.Errorf("attempt %s was told that nothing was done, and ran", token)
		}
	}
	t.Logf("%d calls, %d executions, ends: %v; answered from a spool, and unknown: %d", len(stories), len(ran), ends, late)
}

func (l *load) read(t *testing.T) map[string]*account {
	t.Helper()
	o := l.fleet.tenant.Options("", t.TempDir())
	r, err := pulsar.OpenReadOnly(t.Context(), o, true)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // it was only read
	stories := map[string]*account{}
	for rec, err := range r.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := rec.Event()
		if err != nil {
			t.Fatal(err)
		}
		if e.Topic != audit.TopicCalls {
			continue
		}
		s := stories[e.Subject]
		if s == nil {
			s = &account{}
			stories[e.Subject] = s
		}
		if _, err := s.Apply(e, rec.Position); err != nil {
			t.Error(err)
		}
		if e.Type != audit.CallIntent {
			continue
		}
		p, err := r.Payload(t.Context(), rec.Position, audit.PayloadArguments)
		if s.lost = errors.Is(err, audit.ErrLost); s.lost {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var args struct {
			Token string `json:"token"`
		}
		if err := json.Unmarshal(p.Body, &args); err != nil {
			t.Fatal(err)
		}
		s.token = args.Token
	}
	return stories
}
