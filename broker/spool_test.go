package broker_test

import (
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/spool"
	"github.com/deedbroker/deed/broker/brokertest"
)

func openSpool(t *testing.T, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnOutcomeIsSpooledWhileTheLogIsAway(t *testing.T) {
	t.Parallel()
	kept := openSpool(t, t.TempDir())
	rig, fake, log := faulty(t, brokertest.Options{AckWait: time.Second, Spool: kept})
	away := log.Inject(audittest.Fault{When: audittest.OfType(audit.CallResult), Refuse: audit.ErrUnavailable})
	reply, err := rig.Call(t.Context(), echo("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if !reply.Spooled || len(reply.Answer.Raw) == 0 {
		t.Errorf("the reply is %+v, want an answer whose record is spooled", reply)
	}
	wantTypes(t, rig, reply.CallID, audit.CallIntent)
	away()
	until(t, "the call is closed", func() bool { return len(rig.Types(t, reply.CallID)) == 2 })
	wantTypes(t, rig, reply.CallID, audit.CallIntent, audit.CallResult)
	until(t, "the spool is empty", func() bool { return kept.Len() == 0 })
	if n := len(fake.Calls()); n != 1 {
		t.Errorf("the tool ran %d times", n)
	}
	verified(t, rig.Log, "at the end")
}

// A result whose acknowledgement was lost is spooled, and written twice; it counts once.
func TestASpooledOutcomeThatWasStoredCountsOnce(t *testing.T) {
	t.Parallel()
	kept := openSpool(t, t.TempDir())
	rig, _, log := faulty(t, brokertest.Options{AckWait: time.Second, Spool: kept})
	log.Inject(audittest.Fault{When: audittest.OfType(audit.CallResult), Times: 1, LoseAck: audit.ErrUncertain})
	reply, err := rig.Call(t.Context(), echo("plain"))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the spool is empty", func() bool { return kept.Len() == 0 })
	wantTypes(t, rig, reply.CallID, audit.CallIntent, audit.CallResult, audit.CallResult)
	verified(t, rig.Log, "at the end")
}

func TestWhatWasSpooledIsWrittenAtTheNextStart(t *testing.T) {
	t.Parallel()
	dir, spoolDir := t.TempDir(), t.TempDir()
	rig, _, log := faulty(t, brokertest.Options{Dir: dir, AckWait: time.Second, Spool: openSpool(t, spoolDir)})
	log.Inject(audittest.Fault{When: audittest.OfType(audit.CallResult), Refuse: audit.ErrUnavailable})
	reply, err := rig.Call(t.Context(), echo("plain"))
	if err != nil {
		t.Fatal(err)
	}
	rig.Stop()
	again, _ := start(t, brokertest.Options{Dir: dir, Spool: openSpool(t, spoolDir)})
	wantTypes(t, again, reply.CallID, audit.CallIntent, audit.CallResult)
	verified(t, again.Log, "at the end")
}
