package notify_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/notify"
)

// seals has a replica sign a checkpoint.
func (s *scene) seals(replica string) {
	s.t.Helper()
	s.append(replica, audit.TreeSigned, audit.OwnDomain, audit.TopicCheckpoints, "", audit.Checkpoint{Log: "payments/calls", Size: 1})
}

// replica starts a notifier with a file and a channel of its own.
func (s *scene) replica(name string, to notify.Limited) (stop func()) {
	s.t.Helper()
	_, stop = s.run(map[string]notify.Limited{"leads": to}, func(c *notify.Config) {
		c.Shared, c.Source, c.Path = true, name, filepath.Join(s.t.TempDir(), notify.FileName)
	})
	return stop
}

func TestOfSeveralReplicasTheOneThatSealsSends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, toLeads)
		boxes := map[string]*box{"a": {}, "b": {}, "c": {}}
		stops := map[string]func(){}
		for name, b := range boxes {
			stops[name] = s.replica(name, notify.Limited{Channel: b})
		}
		defer func() {
			for _, stop := range stops {
				stop()
			}
		}()
		in := s.hold("first", time.Hour)
		after(time.Second)
		s.seals("a")
		after(time.Minute)
		s.seals("a") // it has had the time to send
		after(time.Second)
		stops["a"]() // and dies
		second := s.hold("second", time.Hour)
		s.approve("first", in, "bob")
		after(time.Minute)
		s.seals("b")
		after(time.Minute)
		s.approve("second", second, "bob")
		after(time.Second)
		s.seals("b")
		after(time.Minute)
		for name, want := range map[string]string{
			"a": "[first.leads.held]", "b": "[first.leads.approved second.leads.held second.leads.approved]", "c": "[]",
		} {
			ids := []string{}
			for _, m := range boxes[name].messages() {
				ids = append(ids, m.ID)
			}
			if got := fmt.Sprint(ids); got != want && got != "[second.leads.held first.leads.approved second.leads.approved]" {
				t.Errorf("%s sent %s, want %s", name, got, want)
			}
		}
	})
}

func TestWhatAReplicaDidNotComeToSendIsSentByTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, a, b := newScene(t, toLeads), &box{}, &box{}
		stopA, stopB := s.replica("a", notify.Limited{Channel: a}), s.replica("b", notify.Limited{Channel: b})
		defer stopB()
		s.seals("a")
		after(time.Minute)
		stopA()
		s.hold("c1", time.Hour)
		s.seals("a") // the last that it could do
		after(time.Second)
		if got := b.said(); len(got) != 0 {
			t.Errorf("b says %v before it is its turn", got)
		}
		s.seals("b")
		after(time.Minute)
		if got := b.said(); len(got) != 1 {
			t.Errorf("b says %v in its turn", got)
		}
	})
}

func TestEachReplicaTellsThoseWhomOnlyItKnows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, a, b := newScene(t, toLeads), &box{}, &box{}
		stopA, stopB := s.replica("a", notify.Limited{Channel: a, Local: true}), s.replica("b", notify.Limited{Channel: b, Local: true})
		defer stopA()
		defer stopB()
		in := s.hold("c1", time.Hour)
		after(time.Second)
		s.seals("a")
		after(2 * time.Minute)
		s.seals("a")
		s.approve("c1", in, "bob")
		after(time.Minute)
		if len(a.said()) != 2 || len(b.said()) != 2 {
			t.Errorf("a says %v, b says %v", a.said(), b.said())
		}
	})
}
