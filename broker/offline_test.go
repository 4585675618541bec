package broker_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker"
)

// offline appends one event of a call to the log of a broker that is not running.
func offline(t *testing.T, dir string, typ audit.Type, callID string, data any, payloads ...audit.Payload) string {
	t.Helper()
	log, err := embedded.Open(t.Context(), dir, embedded.Options{ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	body, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	e := audit.Event{
		SpecVersion: "1.0", ID: uuid.Must(uuid.NewV7()).String(), Type: typ, Source: "deed://acme/one", Subject: callID,
		Time: time.Now().UTC(), DataContentType: "application/json", Tenant: "acme", Domain: "desk", Topic: audit.TopicCalls,
		Data: body, Payloads: payloads,
	}
	if _, err := log.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return e.ID
}

func castOffline(t *testing.T, dir string, h broker.HeldCall) {
	t.Helper()
	offline(t, dir, audit.CallApproval, h.ID, audit.Approval{
		Digest: h.Intent.Digest, Decision: audit.Decision{Effect: audit.Allow},
		By: audit.Identity{Issuer: bob.Issuer, Principal: "bob", Roles: bob.Roles, Expires: bob.Expires},
	})
}

func leaveReleased(t *testing.T, dir string, h broker.HeldCall) {
	t.Helper()
	log, err := embedded.Open(t.Context(), dir, embedded.Options{ReserveBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var approval string
	for rec, err := range log.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if e, err := rec.Event(); err == nil && e.Type == audit.CallApproval && e.Subject == h.ID {
			approval = e.ID
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	offline(t, dir, audit.CallReleased, h.ID, audit.Release{
		Digest: h.Intent.Digest, Decision: audit.Decision{Effect: audit.Allow}, Approvals: []string{approval},
	})
}

// leaveRunning leaves an intent that was permitted at once and never closed.
func leaveRunning(t *testing.T, dir string, like broker.HeldCall) string {
	t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	args := audit.NewPayload(audit.PayloadArguments, []byte(`{"text":"x"}`))
	in := like.Intent
	in.Arguments, in.Decision = args.Commitment(), audit.Decision{Effect: audit.Allow}
	in.Digest = audit.CallDigest(in)
	offline(t, dir, audit.CallIntent, id, in, args)
	return id
}
