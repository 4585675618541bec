package broker_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/redact"
	"github.com/deedbroker/deed/broker/secrets"
)

// secret looks like a token of GitHub's. It is put together here, so that nobody takes it for one.
var secret = "ghp" + "_" + "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R"

func redacting() *redact.Rules {
	return &redact.Rules{Secrets: redact.RedactSecrets, Finder: secrets.New()}
}

// neverWritten fails if what was redacted is anywhere in the log.
func neverWritten(t *testing.T, rig *brokertest.Rig) {
	t.Helper()
	for rec, err := range rig.Log.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(rec.Stored), secret) {
			t.Errorf("%s has it: %s", rec.Position, rec.Stored)
		}
		for _, name := range []string{audit.PayloadArguments, audit.PayloadOutput, audit.PayloadJustification} {
			if p, err := rig.Log.Payload(t.Context(), rec.Position, name); err == nil && strings.Contains(string(p.Body), secret) {
				t.Errorf("the %s of %s have it: %s", name, rec.Position, p.Body)
			}
		}
	}
}

// What runs, and what the agent hears, is what it is; what is on record has marks in it, counts
// what was found, and is proved as it stands.
func TestSecretsRunAndAreNotRecorded(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Redact: redacting()})
	r := echo("push with " + secret)
	r.Justification = "the key is " + secret
	reply, err := rig.Call(t.Context(), r)
	if err != nil || !strings.Contains(string(reply.Answer.Raw), secret) {
		t.Fatalf("answered %+v, %v", reply, err)
	}
	if ran := fake.Calls(); len(ran) != 1 || !strings.Contains(string(ran[0].Arguments), secret) {
		t.Errorf("ran %+v", ran)
	}
	neverWritten(t, rig)
	c := fold(t, rig, reply.CallID)
	one := []audit.Matched{{Rule: "secret github-pat", N: 1}}
	if c.Intent.Redacted == nil || c.Outcome.Redacted == nil {
		t.Fatalf("nothing is said of it: %+v", c.Intent)
	}
	if diff := cmp.Diff(one, c.Intent.Redacted.Fields) + cmp.Diff(one, c.Outcome.Redacted.Fields); diff != "" {
		t.Errorf("redacted (-want +got):\n%s", diff)
	}
	found := audit.Matched{Rule: "github-pat", N: 1}
	if diff := cmp.Diff([]audit.Matched{found, found}, c.Intent.Secrets) + cmp.Diff([]audit.Matched{found}, c.Outcome.Secrets); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if _, err := rig.Call(t.Context(), echo("secret "+secret)); err != nil {
		t.Error(err)
	}
	_, err = rig.Call(t.Context(), call(copilot, "desk.echo", `{"`+secret+`":1}`)) // refused for its form, with that name in the reason
	wantKind(t, err, broker.Invalid)
	neverWritten(t, rig)
}

// People decide on a held call without seeing what is redacted, and exactly what was asked for
// runs; nobody changes what they do not see.
func TestAHeldCallWithRedactedArgumentsRunsAsItWasMade(t *testing.T) {
	t.Parallel()
	rig, fake := start(t, brokertest.Options{Redact: redacting()})
	h := held(t, rig, "ask "+secret)
	if got := string(h.Arguments); got != `{"text":"ask [secret: github-pat]"}` || strings.Contains(h.Sentence.String(), secret) {
		t.Errorf("bob sees %s, as %q", got, h.Sentence.String())
	}
	_, err := rig.Edit(t.Context(), broker.Edit{Identity: bob, CallID: h.ID, Digest: h.Digest(), Arguments: []byte(`{"text":"ask [secret: github-pat] nicely"}`)})
	wantKind(t, err, broker.Conflict)
	again, err := rig.Call(t.Context(), echo("ask "+secret))
	if err != nil || again.CallID != h.ID {
		t.Errorf("the same again is %+v, %v", again, err)
	}
	other, err := rig.Call(t.Context(), echo("ask "+strings.Replace(secret, "0a1B", "1b2C", 1)))
	if err != nil || other.CallID == h.ID {
		t.Errorf("another secret is %+v, %v", other, err)
	}
	approve(t, rig, bob, h)
	reply, err := outcome(t, rig, h.ID)
	if err != nil || !strings.Contains(string(reply.Answer.Raw), "ask "+secret) {
		t.Fatalf("outcome is %+v, %v", reply, err)
	}
	if ran := fake.Calls(); len(ran) != 1 || string(ran[0].Arguments) != `{"text":"ask `+secret+`"}` {
		t.Errorf("ran %+v", ran)
	}
	neverWritten(t, rig)

	plain := held(t, rig, "ask plainly")
	_, err = rig.Edit(t.Context(), broker.Edit{Identity: bob, CallID: plain.ID, Digest: plain.Digest(), Arguments: []byte(`{"text":"ask ` + secret + `"}`)})
	wantKind(t, err, broker.Invalid)
	neverWritten(t, rig)
}

// After a restart nobody knows what was redacted: an approval ends the call, and runs nothing.
func TestAHeldCallWithRedactedArgumentsDoesNotOutliveARestart(t *testing.T) {
	t.Parallel()
	first, _ := start(t, brokertest.Options{Redact: redacting()})
	h := held(t, first, "ask "+secret)
	first.Stop()
	rig, fake := start(t, brokertest.Options{Dir: first.Dir, Redact: redacting()})
	fresh, err := rig.Call(t.Context(), echo("ask "+secret))
	if err != nil || fresh.CallID == h.ID {
		t.Errorf("the same again is %+v, %v", fresh, err)
	}
	approve(t, rig, bob, h)
	_, err = outcome(t, rig, h.ID)
	wantKind(t, err, broker.Lapsed)
	if said := broker.AsError(err).Public; !strings.Contains(said, "has to be called again") {
		t.Errorf("the agent is told %q", said)
	}
	if n := len(fake.Calls()); n != 0 {
		t.Errorf("the tool ran %d times", n)
	}
}

// A vote at any replica counts; the one that took the call releases it, since it alone knows what
// was redacted. Where that is gone nobody runs it.
func TestAHeldCallWithRedactedArgumentsIsReleasedWhereItWasMade(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	o := brokertest.Options{Redact: redacting()}
	a, b := c.join(t, "a", o), c.join(t, "b", o)
	reply, err := a.Call(t.Context(), echo("ask "+secret))
	if err != nil {
		t.Fatal(err)
	}
	h := b.waitHeld(t, reply.CallID)
	if got := string(h.Arguments); got != `{"text":"ask [secret: github-pat]"}` {
		t.Errorf("at the other replica bob sees %s", got)
	}
	approve(t, b.Rig, bob, h)
	for _, m := range []*member{a, b} {
		if _, err := outcome(t, m.Rig, h.ID); err != nil {
			t.Errorf("the outcome is %v", err)
		}
	}
	if state := fold(t, a.Rig, h.ID); state.Releasing.Source != "deed://acme/a" {
		t.Errorf("released by %s", state.Releasing.Source)
	}
	left, err := a.Call(t.Context(), echo("ask more of "+secret))
	if err != nil {
		t.Fatal(err)
	}
	b.waitHeld(t, left.CallID)
	a.kill(t)
	approve(t, b.Rig, bob, b.waitHeld(t, left.CallID))
	if state := fold(t, b.Rig, left.CallID); state.State != calls.Held || c.ran.of(left.CallID) != 0 {
		t.Errorf("with its replica gone it is %s, and ran %d times", state.State, c.ran.of(left.CallID))
	}
	neverWritten(t, b.Rig)
	verified(t, c.log, "at the end")
}
