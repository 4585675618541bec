package pulsar_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// TestAHistoryIsSealedByTurnsAndVerifiedFromTheTopicsAlone has two replicas seal one
// after the other, and a reviewer who has the public key prove what they wrote.
func TestAHistoryIsSealedByTurnsAndVerifiedFromTheTopicsAlone(t *testing.T) {
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{"payments"}, Partitions: 3})
	key, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), tenant.Name)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	calls := 0
	for _, name := range []string{"a", "b"} {
		sealCalls(t, tenant, key, name, dir, 40)
		calls += 40
	}
	report := verifyTopics(t, tenant, key)
	if int(report.Calls) != calls || int(report.Payloads) != 2*calls || !report.KeyGiven || report.Checkpoints < 4 {
		t.Errorf("the report is %+v", report)
	}
	for _, l := range report.Logs {
		if l.Log != seal.CheckpointsLog && l.Unsealed != 0 {
			t.Errorf("%s: %d of %d records are not sealed", l.Log, l.Unsealed, l.Size)
		}
	}
}

// verifyTopics has a reviewer, who has the public key and nothing else, prove what the
// topics hold.
func verifyTopics(t *testing.T, tenant *pulsartest.Tenant, key *seal.Key) *verify.Report {
	t.Helper()
	report := reportTopics(t, tenant, key, 0)
	for _, f := range report.Findings {
		t.Errorf("finding: %s", f)
	}
	return report
}

// reportTopics is what the reviewer finds who knows how long records are kept.
func reportTopics(t *testing.T, tenant *pulsartest.Tenant, key *seal.Key, retention time.Duration) *verify.Report {
	t.Helper()
	o := tenant.Options("", t.TempDir())
	o.Domains = nil
	r, err := pulsar.OpenReadOnly(t.Context(), o, true)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // it was only read
	report, err := verify.Verify(t.Context(), r, verify.Options{
		Keys: []seal.Verifier{key.Verifier()}, Tenant: tenant.Name, Closed: true, Retention: retention,
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// sealCalls has a replica start, record so many calls, seal all of it, and end.
func sealCalls(t *testing.T, tenant *pulsartest.Tenant, key *seal.Key, name, dir string, calls int) {
	t.Helper()
	l, err := pulsar.Open(t.Context(), tenant.Options(name, dir))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	sealer, err := seal.NewSealer(seal.Config{
		Log: l, Trees: l, Turn: l, Key: key, Tenant: tenant.Name, Source: "deed://" + tenant.Name + "/" + name,
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sealer.Run(ctx) }()
	write(t, l, tenant, audittest.NewEvent(audit.ReplicaStarted, "", audit.Started{Version: "1", Key: key.Verifier().String()}), name)
	for range calls {
		id := audittest.NewID()
		write(t, l, tenant, audittest.Intent(id, `{"amount":1}`), name)
		write(t, l, tenant, audittest.Result(id, `{"ok":true}`), name)
	}
	eventually(t, "everything is sealed", func() error {
		sizes, err := l.Sizes(t.Context())
		if err != nil {
			return err
		}
		for log, size := range sizes {
			_, c, ok := sealer.Latest(log)
			if log != seal.CheckpointsLog && (!ok || c.Size != size) {
				return fmt.Errorf("%s is not", log)
			}
		}
		return nil
	})
	stop()
	if err := <-ended; err != nil {
		t.Errorf("seal: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, l *pulsar.Log, tenant *pulsartest.Tenant, e audit.Event, replica string) {
	t.Helper()
	e.Tenant, e.Source = tenant.Name, "deed://"+tenant.Name+"/"+replica
	if _, err := l.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}
