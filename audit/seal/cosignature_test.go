package seal_test

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit/seal"
)

func newCosigner(t *testing.T, name string) *seal.Cosigner {
	t.Helper()
	c, err := seal.LoadOrCreateCosigner(filepath.Join(t.TempDir(), "keys", "witness.key"), name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const cosignedText = "deed/acme/payments/calls\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

func TestCosignaturesAreTheirWitnesss(t *testing.T) {
	t.Parallel()
	one, two := newCosigner(t, "one.example"), newCosigner(t, "two.example")
	when := time.Date(2026, 11, 27, 1, 2, 3, 0, time.UTC)
	line := one.Cosign(cosignedText, when)
	signed := cosignedText + "\n" + line
	by, err := seal.Cosigned(signed, []seal.WitnessKey{one.Key(), two.Key()})
	if err != nil || len(by) != 1 || !by[seal.WitnessName{Name: "one.example", Hash: one.Key().KeyHash()}].Equal(when) {
		t.Errorf("got %v, %v", by, err)
	}
	if by, err := seal.Cosigned(signed, []seal.WitnessKey{two.Key()}); err != nil || len(by) != 0 {
		t.Errorf("of another: %v, %v", by, err)
	}
	if _, err := seal.Cosigned(strings.Replace(signed, "\n3\n", "\n4\n", 1), []seal.WitnessKey{one.Key()}); !errors.Is(err, seal.ErrSignature) {
		t.Errorf("of another text: %v", err)
	}
	encoded := strings.Fields(line)[2]
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	for at := 4; at < len(raw); at++ { // the time is signed too
		forged := append([]byte(nil), raw...)
		forged[at] ^= 1
		changed := strings.Replace(signed, encoded, base64.StdEncoding.EncodeToString(forged), 1)
		if _, err := seal.Cosigned(changed, []seal.WitnessKey{one.Key()}); !errors.Is(err, seal.ErrSignature) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
}

func TestWitnessKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "witness.key")
	made, err := seal.LoadOrCreateCosigner(path, "one.example/w")
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.LoadOrCreateCosigner(path, "one.example/w")
	if err != nil || again.Key().String() != made.Key().String() {
		t.Errorf("got %v, %v", again, err)
	}
	if _, err := seal.LoadOrCreateCosigner(path, "two.example"); err == nil {
		t.Error("a key serves two names")
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.LoadOrCreateCosigner(path, "one.example/w"); err == nil {
		t.Error("others may read it")
	}
	text := made.Key().String()
	if k, err := seal.ParseWitnessKey(text + "\n"); err != nil || k.String() != text || k.Name() != "one.example/w" {
		t.Errorf("got %v, %v", k, err)
	}
	log := newKey(t, "acme").Verifier().String()
	for _, bad := range []string{"", "x", text[1:], text + "A", strings.Replace(text, "+", " ", 1), log} {
		if _, err := seal.ParseWitnessKey(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
