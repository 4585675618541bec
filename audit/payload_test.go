package audit_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/deedbroker/deed/audit"
)

func TestCommitmentHoldsForItsPayloadAlone(t *testing.T) {
	t.Parallel()
	p := audit.NewPayload(audit.PayloadArguments, []byte(`{"amount":250}`))
	c := p.Commitment()
	if !c.Matches(p) {
		t.Fatal("a commitment does not match its own payload")
	}
	flipped := bytes.Clone(p.Body)
	flipped[3] ^= 1
	otherSalt := bytes.Clone(p.Salt)
	otherSalt[0] ^= 1
	tests := map[string]audit.Payload{
		"a changed byte":     {Salt: p.Salt, Body: flipped},
		"another salt":       {Salt: otherSalt, Body: p.Body},
		"no salt":            {Body: slices.Concat(p.Salt, p.Body)},
		"salt moved to body": {Salt: p.Salt[:8], Body: slices.Concat(p.Salt[8:], p.Body)},
		"body moved to salt": {Salt: slices.Concat(p.Salt, p.Body[:2]), Body: p.Body[2:]},
		"cut short":          {Salt: p.Salt, Body: p.Body[:len(p.Body)-1]},
		"empty":              {},
	}
	for name, other := range tests {
		if c.Matches(other) {
			t.Errorf("the commitment also matches a payload with %s", name)
		}
	}
}

func TestEqualBodiesCannotBeToldByTheirCommitments(t *testing.T) {
	t.Parallel()
	body := []byte(`{"yes":true}`)
	a, b := audit.NewPayload("x", body), audit.NewPayload("x", body)
	if a.Commitment().Digest == b.Commitment().Digest {
		t.Error("two payloads of the same body have one digest: an erased body could be guessed")
	}
	if len(a.Salt) != audit.SaltBytes {
		t.Errorf("salt of %d bytes, want %d", len(a.Salt), audit.SaltBytes)
	}
}

func TestCallDigestChangesWithEachThingThatIsApproved(t *testing.T) {
	t.Parallel()
	const golden = "b74b19449ff79e7abfedffc9b44848ebde3a6723366862402e7ce6e5bb2ab6b2"
	base := heldIntent()
	if got := audit.CallDigest(base); got != golden {
		t.Errorf("the digest of a call changed its form: got %s, want %s", got, golden)
	}
	changes := map[string]func(*audit.Intent){
		"tool":       func(i *audit.Intent) { i.Tool = "payments.charge" },
		"definition": func(i *audit.Intent) { i.Definition = "00" },
		"arguments":  func(i *audit.Intent) { i.Arguments = commitment(`{"amount":251}`) },
		"issuer":     func(i *audit.Intent) { i.Identity.Issuer = "https://elsewhere.example" },
		"principal":  func(i *audit.Intent) { i.Identity.Principal = "mallory" },
		"actor":      func(i *audit.Intent) { i.Identity.Chain[0].ID = "other-agent" },
		"order":      func(i *audit.Intent) { slices.Reverse(i.Identity.Chain) },
		"no chain":   func(i *audit.Intent) { i.Identity.Chain = nil },
	}
	for name, change := range changes {
		other := heldIntent()
		change(&other)
		if audit.CallDigest(other) == golden {
			t.Errorf("another %s has the same call digest: an approval would carry over", name)
		}
	}
	same := heldIntent()
	same.Decision.Effect, same.Client, same.Identity.Session = audit.Allow, "other", "sid-2"
	if audit.CallDigest(same) != golden {
		t.Error("the decision, client or session of a call entered its digest")
	}
}
