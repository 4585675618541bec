package broker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/statement"
	"github.com/deedbroker/deed/broker/brokertest"
)

// mute is a log that takes no announcements while it is so.
type mute struct {
	audit.Log
	now atomic.Bool
}

func (m *mute) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	if m.now.Load() && e.Type == audit.StatementKeyAnnounced {
		return audit.Position{}, audit.ErrUnavailable
	}
	return m.Log.Append(ctx, e)
}

// stated makes a call, and gives the statement of its events.
func stated(t *testing.T, rig *brokertest.Rig) string {
	t.Helper()
	reply, err := rig.Call(t.Context(), echo("plain"))
	if err != nil {
		t.Fatal(err)
	}
	return rig.Events(t, reply.CallID)[0].Statement
}

func TestStatementKeysAreRenewedAndWhatOldOnesSignedStillHolds(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	log := &mute{}
	rig, _ := start(t, brokertest.Options{Wrap: func(l audit.Log) audit.Log { log.Log = l; return log }})
	now := time.Now()
	signed := []string{stated(t, rig)}
	for _, later := range []time.Duration{6 * day, 8 * day, 9 * day} {
		rig.RenewStatementKey(t.Context(), now.Add(later))
		signed = append(signed, stated(t, rig))
	}
	keys := statement.KeysOf(rig.StatementKeys())
	var by []string
	for _, s := range signed {
		_, key, err := keys.Open(s)
		if err != nil {
			t.Fatal(err)
		}
		by = append(by, key)
	}
	if len(keys) != 2 || by[0] != by[1] || by[1] == by[2] || by[2] != by[3] {
		t.Errorf("%d keys signed as %q", len(keys), by)
	}
	log.now.Store(true)
	rig.RenewStatementKey(t.Context(), now.Add(17*day))
	if _, key, err := keys.Open(stated(t, rig)); err != nil || key != by[3] {
		t.Errorf("a key that could not be replaced: signed by %q, %v", key, err)
	}
	rig.RenewStatementKey(t.Context(), now.Add(30*day))
	if s := stated(t, rig); s != "" {
		t.Error("a key signs after it has retired")
	}
	log.now.Store(false)
	rig.RenewStatementKey(t.Context(), now.Add(30*day))
	if stated(t, rig) == "" {
		t.Error("the log is back, and nothing is stated")
	}
	verified(t, rig.Log, "after all that")
}
