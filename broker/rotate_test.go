package broker_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
)

const mayRotate = `permit (principal in Role::"lead", action == Action::"rotate", resource == Domain::"deed");`

// Replicas that share a log rotate its key only once the next one is there. Who has not got
// it when it comes in force stops, and takes its part again once it has.
func TestReplicasFollowARotationOrStop(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.policies += mayRotate
	files := map[string]string{}
	for _, name := range []string{"one", "two", "three"} {
		files[name] = filepath.Join(t.TempDir(), "keys", "seal.key")
	}
	first, err := seal.CreateKey(files["one"], "acme")
	must(t, err)
	copyKey(t, files["one"], files["two"])
	copyKey(t, files["one"], files["three"])
	one := c.join(t, "one", brokertest.Options{Key: files["one"]})
	two := c.join(t, "two", brokertest.Options{Key: files["two"]})
	three := c.join(t, "three", brokertest.Options{Key: files["three"], EndsWith: seal.ErrNoSuccessor})

	if err := one.RotateKey(t.Context(), bob, "yearly"); kindOf(err) != broker.Conflict {
		t.Fatalf("without a next key: %v", err)
	}
	next, err := seal.Stage(files["one"], "acme")
	must(t, err)
	copyKey(t, files["one"]+seal.NextSuffix, files["two"]+seal.NextSuffix)
	must(t, one.RotateKey(t.Context(), bob, "yearly"))
	until(t, "the other replica knows of it", func() bool { return len(two.KeyRotations()) == 1 })
	<-three.Ended()
	three.Stop()
	for _, m := range []*member{one, two} {
		if chain := m.SealedBy(); len(chain) != 2 || chain[0].String() != first.Verifier().String() || chain[1].String() != next.String() {
			t.Errorf("sealed by %v", chain)
		}
	}

	copyKey(t, files["one"]+seal.NextSuffix, files["three"]+seal.NextSuffix)
	again := c.join(t, "three", brokertest.Options{Key: files["three"]})
	if chain := again.SealedBy(); len(chain) != 2 {
		t.Errorf("started again it is sealed by %v", chain)
	}
}

// copyKey puts a copy of a key's file where another replica looks for it.
func copyKey(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(to), 0o700))
	must(t, os.WriteFile(to, text, 0o600))
}

// Whoever can write to control cannot rotate the key.
func TestARotationThatTheKeyInForceDidNotSignIsNone(t *testing.T) {
	t.Parallel()
	r := brokertest.Start(t, brokertest.Options{Policies: policies + mayRotate})
	before := r.SealedBy()
	usurper, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), "acme")
	must(t, err)
	other, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), "acme")
	must(t, err)
	forged, err := usurper.HandOver(other.Verifier())
	must(t, err)
	forged.Old = before[0].String()
	e := audittest.NewEvent(audit.KeyRotated, "", forged)
	e.Domain = audit.OwnDomain
	_, err = r.Log.Append(t.Context(), e)
	must(t, err)
	must(t, r.RotateKey(t.Context(), bob, "yearly")) // stands after it
	if got := r.SealedBy(); len(got) != 2 || got[0].String() != before[0].String() || got[1].String() == other.Verifier().String() {
		t.Errorf("sealed by %v", got)
	}
	if err := r.RotateKey(t.Context(), carol, "yearly"); kindOf(err) != broker.Denied {
		t.Errorf("carol rotates: %v", err)
	}
}

func TestAnOldKeyIsRotatedByItself(t *testing.T) {
	t.Parallel()
	r := brokertest.Start(t, brokertest.Options{Policies: policies, KeyAge: time.Nanosecond})
	until(t, "the key has a successor", func() bool { return len(r.KeyRotations()) > 0 })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func kindOf(err error) broker.Kind {
	if e, ok := errors.AsType[*broker.Error](err); ok {
		return e.Kind
	}
	return broker.Internal
}
