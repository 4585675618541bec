package notify_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/notify"
)

var toLeads = notify.Route{Approvers: []string{"lead"}, To: []string{"leads"}}

func TestPeopleAreToldOfAHoldAndOfWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, leads := newScene(t, toLeads), &box{}
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads}})
		defer stop()
		after(time.Second)
		in := s.hold("c1", 15*time.Minute)
		after(time.Second)
		s.approve("c1", in, "bob")
		after(time.Second)
		s.close("c1", audit.CallResult, audit.CodeOK)
		after(time.Minute)
		got := leads.messages()
		if len(got) != 2 {
			t.Fatalf("%d messages: %v", len(got), leads.said())
		}
		want := notify.Message{
			ID: "c1.leads.held", Thread: "c1", State: notify.Held, Time: got[0].Time, CallID: "c1", Tool: "payments.refund", Domain: "payments",
			Sentence: "Refund 250", Principal: "alice", Agents: []string{"copilot"}, Approvers: []string{"lead"},
			Deadline: *in.Decision.Expires, Link: "https://deed.example/#/calls/c1",
		}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("the first (-want +got):\n%s", diff)
		}
		want.ID, want.First, want.State, want.Outcome, want.Time = "c1.leads.approved", "c1.leads.held", notify.Approved, "Approved by bob", got[1].Time
		if diff := cmp.Diff(want, got[1]); diff != "" {
			t.Errorf("what follows (-want +got):\n%s", diff)
		}
		if text := got[0].Text(); !strings.Contains(text, "Asked by copilot for alice. Waits for lead until ") {
			t.Errorf("it says %q", text)
		}
	})
}

func TestEachEndIsToldInItsOwnWords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, leads := newScene(t, toLeads), &box{}
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads}})
		defer stop()
		for _, id := range []string{"denied", "expired", "cancelled", "unknown"} {
			in := s.hold(id, 2*time.Minute)
			after(time.Second)
			switch id {
			case "denied":
				s.deny(id, "dora")
			case "expired":
				after(3 * time.Minute)
				s.close(id, audit.CallExpired, audit.CodeExpired)
			case "cancelled":
				s.close(id, audit.CallCancelled, audit.CodeClient)
			case "unknown":
				s.approve(id, in, "bob")
				after(time.Second)
				s.close(id, audit.CallUnknown, audit.CodeTimeout)
			}
			after(time.Minute)
		}
		want := []string{
			"Approval needed: payments.refund", "Denied by dora: payments.refund",
			"Approval needed: payments.refund", "Expired, nobody decided: payments.refund",
			"Approval needed: payments.refund", "Cancelled: payments.refund",
			"Approval needed: payments.refund", "Approved by bob: payments.refund", "Outcome unknown: payments.refund",
		}
		if diff := cmp.Diff(want, leads.said()); diff != "" {
			t.Errorf("said (-want +got):\n%s", diff)
		}
	})
}

func TestWhatIsNotHeldOrDecidedInTimeIsNotTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		oncall := notify.Route{To: []string{"leads"}, Escalate: []notify.Escalation{{After: 5 * time.Minute, To: []string{"oncall"}}}}
		s, leads, others := newScene(t, oncall), &box{}, &box{}
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads}, "oncall": {Channel: others}})
		defer stop()
		allowed := s.hold("held", 15*time.Minute)
		in := allowed
		in.Decision = audit.Decision{Effect: audit.Allow}
		s.append(source, audit.CallIntent, "payments", audit.TopicCalls, "allowed", in)
		s.close("allowed", audit.CallResult, audit.CodeOK)
		after(4 * time.Minute)
		s.approve("held", allowed, "bob")
		after(time.Hour)
		if got := leads.said(); len(got) != 2 {
			t.Errorf("leads were told %v", got)
		}
		if got := others.said(); len(got) != 0 {
			t.Errorf("others were told %v of a call that was decided", got)
		}
	})
}

func TestAHoldGoesOnToOthersBeforeItExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		oncall := notify.Route{To: []string{"leads"}, Escalate: []notify.Escalation{{After: 5 * time.Minute, To: []string{"oncall"}}}}
		s, leads, others := newScene(t, oncall), &box{}, &box{}
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads}, "oncall": {Channel: others}})
		defer stop()
		begin := time.Now()
		s.hold("long", 15*time.Minute)
		s.hold("short", 4*time.Minute) // over before 5 minutes: at half its time
		after(time.Hour)
		if diff := cmp.Diff([]string{"Still waiting for approval: payments.refund", "Still waiting for approval: payments.refund"}, others.said()); diff != "" {
			t.Errorf("others (-want +got):\n%s", diff)
		}
		for i, want := range []time.Duration{2 * time.Minute, 5 * time.Minute} {
			if got := others.times[i].Sub(begin).Round(time.Second); got != want {
				t.Errorf("message %d after %s, want %s", i, got, want)
			}
		}
	})
}

func TestQuietHoursPutOffAllButEscalations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // time begins at midnight, UTC
		berlin, err := time.LoadLocation("Europe/Berlin")
		must(t, err)
		night := notify.Route{
			To: []string{"leads"}, Quiet: &notify.Quiet{From: 22 * time.Hour, To: 7*time.Hour + 30*time.Minute, Zone: berlin},
			Escalate: []notify.Escalation{{After: time.Hour, To: []string{"oncall"}}},
		}
		s, leads, others := newScene(t, night), &box{}, &box{}
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads}, "oncall": {Channel: others}})
		defer stop()
		s.hold("night", 12*time.Hour) // 01:00 in Berlin
		after(6 * time.Hour)
		if len(leads.said()) != 0 || len(others.said()) != 1 {
			t.Errorf("at night leads were told %v, and others %v", leads.said(), others.said())
		}
		after(time.Hour) // 08:00
		if len(leads.said()) != 1 || leads.times[0].In(berlin).Format("15:04") != "07:30" {
			t.Errorf("in the morning leads were told %v at %v", leads.said(), leads.times)
		}
		s.hold("day", time.Hour)
		after(time.Second)
		if len(leads.said()) != 2 {
			t.Errorf("by day leads were told %v", leads.said())
		}
	})
}

func TestRoutesGoByDomainAndRole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, notify.Route{Domains: []string{"payments"}, Approvers: []string{"lead"}, To: []string{"a"}},
			notify.Route{Domains: []string{"source"}, To: []string{"b"}}, notify.Route{Approvers: []string{"ciso"}, To: []string{"b", "c"}})
		a, b, c := &box{}, &box{}, &box{}
		_, stop := s.run(map[string]notify.Limited{"a": {Channel: a}, "b": {Channel: b}, "c": {Channel: c}})
		defer stop()
		s.holdOf("1", "payments", "lead", time.Hour)
		s.holdOf("2", "source", "lead", time.Hour)
		s.holdOf("3", "source", "ciso", time.Hour)
		after(time.Minute)
		if len(a.said()) != 1 || len(b.said()) != 2 || len(c.said()) != 1 {
			t.Errorf("told: a %d, b %d, c %d times", len(a.said()), len(b.said()), len(c.said()))
		}
	})
}

func TestAStormBecomesADigest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, leads := newScene(t, toLeads), &box{}
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads, PerMinute: 6}})
		defer stop()
		after(time.Second)
		for n := range 400 {
			s.hold(fmt.Sprintf("c%03d", n), time.Hour)
			if n%10 == 9 {
				after(100 * time.Millisecond)
			}
		}
		after(10 * time.Minute)
		got := leads.messages()
		told := map[string]int{}
		for _, m := range got {
			if len(m.Digest) == 0 {
				told[m.CallID]++
			}
			for _, one := range m.Digest {
				told[one.CallID]++
			}
		}
		if len(told) != 400 || len(got) > 8 {
			t.Errorf("%d calls were told in %d messages: %v", len(told), len(got), leads.said())
		}
		for id, n := range told {
			if n != 1 {
				t.Errorf("%s was told %d times", id, n)
			}
		}
		last := got[len(got)-1]
		if !strings.HasSuffix(last.Title(), " calls wait for approval") || strings.Count(last.Text(), "\n") > 25 {
			t.Errorf("the digest %q has the lines\n%s", last.Title(), last.Text())
		}
	})
}

func TestTroubleIsTriedAgainAndThenTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, notify.Route{To: []string{"flaky", "down", "picky"}})
		flaky := &box{fail: func(_ notify.Message, attempt int) error {
			if attempt < 4 {
				return errors.New("connection refused")
			}
			return nil
		}}
		down := &box{fail: func(notify.Message, int) error { return errors.New("connection refused") }}
		picky := &box{fail: func(notify.Message, int) error { return fmt.Errorf("%w: no such mailbox", notify.ErrRefused) }}
		n, stop := s.run(map[string]notify.Limited{"flaky": {Channel: flaky}, "down": {Channel: down}, "picky": {Channel: picky}})
		defer stop()
		in := s.hold("c1", time.Hour)
		after(10 * time.Minute)
		if got := flaky.said(); len(got) != 1 {
			t.Errorf("the flaky channel took %v", got)
		}
		if picky.tries != 1 {
			t.Errorf("what was refused was tried %d times", picky.tries)
		}
		after(10 * time.Minute)
		if err := n.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "down did not take 1 notification") || !strings.Contains(err.Error(), "picky did not take 1 notification") {
			t.Errorf("the check says %v", err)
		}
		s.approve("c1", in, "bob") // of which those do not hear who heard nothing
		tries := down.tries
		after(10 * time.Minute)
		if down.tries != tries || picky.tries != 1 || len(flaky.said()) != 2 {
			t.Errorf("after the decision: down %d more tries, picky %d, flaky said %v", down.tries-tries, picky.tries, flaky.said())
		}
		after(2 * time.Hour)
		if err := n.Check(t.Context()); err == nil || strings.Contains(err.Error(), "did not take") {
			t.Errorf("hours later the check says %v", err)
		}
	})
}

func TestAnAnswerThatSaysWhenIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, toLeads)
		leads := &box{fail: func(_ notify.Message, attempt int) error {
			if attempt == 1 {
				return &notify.LaterError{After: 90 * time.Second, Err: errors.New("too many requests")}
			}
			return nil
		}}
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads}})
		defer stop()
		after(time.Second)
		begin := time.Now()
		s.hold("c1", time.Hour)
		after(5 * time.Minute)
		if len(leads.times) != 1 || leads.times[0].Sub(begin).Round(time.Second) != 90*time.Second {
			t.Errorf("it was sent at %v", leads.times)
		}
	})
}

func TestARestartRepeatsNothingAndForgetsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, leads := newScene(t, toLeads), &box{}
		channels := map[string]notify.Limited{"leads": {Channel: leads}}
		_, stop := s.run(channels)
		in := s.hold("told", time.Hour)
		after(time.Minute)
		stop()
		s.approve("told", in, "bob") // while nobody looked
		s.hold("meanwhile", time.Hour)
		gone := s.hold("over", time.Hour)
		s.approve("over", gone, "bob")
		_, stop = s.run(channels)
		after(time.Minute)
		stop()
		_, stop = s.run(channels)
		defer stop()
		after(time.Minute)
		var got []string
		for _, m := range leads.messages() {
			got = append(got, m.ID)
		}
		want := []string{"told.leads.held", "told.leads.approved", "meanwhile.leads.held"}
		slices.Sort(got[1:])
		slices.Sort(want[1:])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("said (-want +got):\n%s", diff)
		}
	})
}

func TestAFirstStartTellsWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, leads := newScene(t, toLeads), &box{}
		in := s.hold("waits", time.Hour)
		var c calls.Call
		e, err := s.log.records[0].Event()
		must(t, err)
		_, err = c.Apply(e, s.log.records[0].Position)
		must(t, err)
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: leads}}, func(cfg *notify.Config) {
			cfg.Start, cfg.Open = "m1", []calls.Call{c}
		})
		defer stop()
		after(time.Second)
		s.approve("waits", in, "bob")
		after(time.Second)
		if got := leads.said(); len(got) != 2 {
			t.Errorf("said %v", got)
		}
	})
}

// dying takes a message, and the broker is gone before it hears of that.
type dying struct{ *box }

func (d dying) Send(ctx context.Context, m notify.Message) error {
	_ = d.box.Send(ctx, m)
	<-ctx.Done()
	return ctx.Err()
}

func TestWhatMayHaveBeenSentIsSentAgainUnderTheSameID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, first, second := newScene(t, toLeads), &box{}, &box{}
		_, stop := s.run(map[string]notify.Limited{"leads": {Channel: dying{first}}})
		after(time.Second)
		in := s.hold("c1", time.Hour)
		after(time.Second)
		stop()
		_, stop = s.run(map[string]notify.Limited{"leads": {Channel: second}})
		defer stop()
		after(time.Second)
		s.approve("c1", in, "bob")
		after(time.Second)
		if got := first.messages(); len(got) != 1 || got[0].ID != "c1.leads.held" {
			t.Errorf("before: %v", first.said())
		}
		if got := second.messages(); len(got) != 2 || got[0].ID != "c1.leads.held" || got[1].First != "c1.leads.held" {
			t.Errorf("after: %v", second.said())
		}
	})
}

func TestALogThatIsAnotherIsBegunAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, leads := newScene(t, toLeads), &box{}
		channels := map[string]notify.Limited{"leads": {Channel: leads}}
		_, stop := s.run(channels)
		for n := range 5 {
			s.hold(fmt.Sprintf("old-%d", n), time.Hour)
		}
		after(time.Minute)
		stop()
		s.log = newMemory() // restored from before all that
		_, stop = s.run(channels)
		defer stop()
		after(time.Second)
		s.hold("new", time.Hour)
		after(time.Minute)
		got := leads.messages()
		if last := got[len(got)-1]; last.CallID != "new" || len(got) != 6 {
			t.Errorf("said %v", leads.said())
		}
	})
}
