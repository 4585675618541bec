package server_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker/config"
)

// TestArgumentsGoWhenTheirRetentionIsOver: on record, from log and history, and the
// event that commits to them stays.
func TestArgumentsGoWhenTheirRetentionIsOver(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	data := filepath.Join(rig.dir, "data")
	log, err := embedded.Open(t.Context(), data, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(e audit.Event, age time.Duration) audit.Position {
		t.Helper()
		e.Time = e.Time.Add(-age)
		p, err := log.Append(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const day = 24 * time.Hour
	id := audittest.NewID()
	old := add(audittest.Intent(id, `{"note":"a broken kettle"}`), config.DefaultPayloadRetention+2*day)
	add(audittest.Result(id, `{"ok":true}`), config.DefaultPayloadRetention+2*day)
	young := add(audittest.Intent(audittest.NewID(), `{"note":"a teapot"}`), config.DefaultPayloadRetention-2*day)
	before, err := log.Record(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}

	r := rig.start(t)
	file, err := embedded.OpenReadOnly(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // read only
	patient, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		_, err := file.Payload(t.Context(), old, audit.PayloadArguments)
		if errors.Is(err, audit.ErrErased) {
			break
		}
		select {
		case <-patient:
			t.Fatalf("the arguments are still there: %v", err)
		case <-tick.C:
		}
	}
	if after, err := file.Record(t.Context(), old); err != nil || string(after.Stored) != string(before.Stored) {
		t.Errorf("the event has changed: %v", err)
	}
	if _, err := file.Payload(t.Context(), young, audit.PayloadArguments); err != nil {
		t.Errorf("arguments whose time is not over: %v", err)
	}
	if got := erasures(t, file); len(got) != 1 || got[0].Log != old.Log || got[0].From != 0 || got[0].To != 2 {
		t.Errorf("on record are %+v, want one of the records 0 and 1 of %s", got, old.Log)
	}
	bob := r.issuer.Token(r.issuer.PersonClaims("bob", "console", "lead"))
	for word, want := range map[string]bool{"kettle": false, "teapot": true} {
		code, body := r.get(t, "/v1/calls?q="+word, bob)
		if code != http.StatusOK || strings.Contains(body, `"call_id"`) != want {
			t.Errorf("search for %s: HTTP %d: %s; want a call: %t", word, code, body, want)
		}
	}
}

// TestALegalHoldKeepsArgumentsFromTheirRetention: what is held stays, and what stands
// between goes, across a restart.
func TestALegalHoldKeepsArgumentsFromTheirRetention(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	data := filepath.Join(rig.dir, "data")
	log, err := embedded.Open(t.Context(), data, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{audittest.NewID(), audittest.NewID(), audittest.NewID()}
	var at []audit.Position
	for _, id := range ids {
		e := audittest.Intent(id, `{"note":"a kettle"}`)
		e.Time = e.Time.Add(-config.DefaultPayloadRetention - 48*time.Hour)
		p, err := log.Append(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, p)
	}
	control := audittest.NewEvent(audit.LegalHoldPlaced, "", audit.LegalHold{Scope: audit.Scope{Call: ids[1]}, Reason: "case 17"})
	control.Domain, control.Topic = audit.OwnDomain, audit.TopicControl
	if _, err := log.Append(t.Context(), control); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	r := rig.start(t)
	file, err := embedded.OpenReadOnly(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // read only
	patient, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		_, err := file.Payload(t.Context(), at[2], audit.PayloadArguments)
		if errors.Is(err, audit.ErrErased) {
			break
		}
		select {
		case <-patient:
			t.Fatalf("the arguments are still there: %v", err)
		case <-tick.C:
		}
	}
	if _, err := file.Payload(t.Context(), at[1], audit.PayloadArguments); err != nil {
		t.Errorf("the arguments under a legal hold: %v", err)
	}
	if got := erasures(t, file); len(got) != 1 || len(got[0].Except) != 1 || got[0].Except[0] != at[1].Index {
		t.Errorf("on record are %+v, want one that excepts %s", got, at[1])
	}
	bob := r.issuer.Token(r.issuer.PersonClaims("bob", "console", "lead"))
	if code, body := r.get(t, "/v1/calls?q=kettle", bob); code != http.StatusOK || strings.Count(body, `"call_id"`) != 1 {
		t.Errorf("search: HTTP %d: %s; want one call", code, body)
	}
}

func erasures(t *testing.T, file *embedded.Reader) []audit.Erasure {
	t.Helper()
	var all []audit.Erasure
	for r, err := range file.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Event()
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != audit.PayloadsErased {
			continue
		}
		erased, err := audit.DataOf[audit.Erasure](e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, erased)
	}
	return all
}

// TestAnErasureOnRecordIsFinished: a broker that died between the event and the erasing
// erases when it starts; what another replica had recorded is that one's.
func TestAnErasureOnRecordIsFinished(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	r := rig.start(t)
	gone := r.made(t, "payments.refund", `{"payment":"pay-1001","amount":5,"reason":"kettle"}`)
	kept := r.made(t, "payments.refund", `{"payment":"pay-1001","amount":5,"reason":"teapot"}`)
	r.stop(t)
	at := rig.openings(t)
	log, err := embedded.Open(t.Context(), filepath.Join(rig.dir, "data"), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := rig.config(t)
	say := func(replica, call string) {
		t.Helper()
		e := audittest.NewEvent(audit.PayloadsErased, "", audit.Erasure{
			Scope: &audit.Scope{Call: call}, Calls: []string{call}, Reason: "ticket 4711",
			Records: []audit.Places{{Log: paymentsLog, Indexes: []int64{at[call], at[call] + 1}}},
		})
		e.Tenant, e.Source = cfg.Tenant, "deed://"+cfg.Tenant+"/"+replica
		if _, err := log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	say("main", gone)
	say("another", kept)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	r = rig.start(t)
	file := rig.reader(t)
	patient, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for _, i := range []int64{at[gone], at[gone] + 1} {
		name := map[int64]string{at[gone]: audit.PayloadArguments, at[gone] + 1: audit.PayloadOutput}[i]
		for {
			_, err := file.Payload(t.Context(), audit.Position{Log: paymentsLog, Index: i}, name)
			if errors.Is(err, audit.ErrErased) {
				break
			}
			select {
			case <-patient:
				t.Fatalf("%s of record %d: %v", name, i, err)
			case <-tick.C:
			}
		}
	}
	if _, err := file.Payload(t.Context(), audit.Position{Log: paymentsLog, Index: at[kept]}, audit.PayloadArguments); err != nil {
		t.Errorf("what another replica is to erase: %v", err)
	}
	if code, body := r.get(t, "/v1/calls?q=kettle", r.bob()); code != http.StatusOK || strings.Contains(body, `"call_id"`) {
		t.Errorf("it is found by its arguments: HTTP %d: %s", code, body)
	}
}

// TestAHeldCallKeepsItsArguments: what people are to decide on outlives its retention until
// they have, across a restart.
func TestAHeldCallKeepsItsArguments(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	data := filepath.Join(rig.dir, "data")
	log, err := embedded.Open(t.Context(), data, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	long := config.DefaultPayloadRetention + 48*time.Hour
	held, over := audittest.NewID(), audittest.NewID()
	waiting := audittest.Intent(held, `{"payment":"pay-1001","amount":500,"reason":"a kettle"}`)
	intent, err := audit.DataOf[audit.Intent](waiting)
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(time.Hour).UTC()
	intent.Decision.Effect, intent.Decision.Expires, intent.Decision.Approvers = audit.Hold, &expires, []string{"lead"}
	again := audittest.NewEvent(audit.CallIntent, held, intent, waiting.Payloads...)
	at := map[string]audit.Position{}
	for _, e := range []audit.Event{again, audittest.Intent(over, `{"note":"a teapot"}`), audittest.Result(over, `{"ok":true}`)} {
		e.Time = e.Time.Add(-long)
		p, err := log.Append(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == audit.CallIntent {
			at[e.Subject] = p
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	r := rig.start(t)
	file := rig.reader(t)
	gone(t, file, at[over])
	if _, err := file.Payload(t.Context(), at[held], audit.PayloadArguments); err != nil {
		t.Errorf("the arguments of the call that is held: %v", err)
	}
	if got := erasures(t, file); len(got) != 1 || len(got[0].Except) != 1 || got[0].Except[0] != at[held].Index {
		t.Errorf("on record are %+v, want one that excepts %s", got, at[held])
	}
	_, body := r.get(t, "/v1/calls/"+held, r.bob())
	var detail struct {
		Digest string `json:"digest"`
	}
	if err := json.Unmarshal([]byte(body), &detail); err != nil {
		t.Fatal(err)
	}
	deny := r.send(t, http.MethodPost, "/v1/calls/"+held+"/approvals", r.bob(), `{"verdict":"deny","digest":"`+detail.Digest+`","reason":"too late"}`)
	if text, err := io.ReadAll(deny.Body); err != nil || deny.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", deny.Status, text, err)
	}
	r.stop(t)
	rig.start(t)
	gone(t, file, at[held])
}

// gone waits until the arguments of an intent are erased.
func gone(t *testing.T, file *embedded.Reader, at audit.Position) {
	t.Helper()
	patient, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		_, err := file.Payload(t.Context(), at, audit.PayloadArguments)
		if errors.Is(err, audit.ErrErased) {
			return
		}
		select {
		case <-patient:
			t.Fatalf("the arguments are still there: %v", err)
		case <-tick.C:
		}
	}
}
