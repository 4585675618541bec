package server_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/server"
)

const (
	paymentsLog = "payments/calls"
	leadsHold   = `permit (principal in Role::"lead", action == Action::"legal-hold", resource);`
	soon        = "retention: 1ms, payload_retention: 1ms"
)

// made makes a call that is closed, or held, and returns its id.
func (r *running) made(t *testing.T, tool, args string) string {
	t.Helper()
	got, err := r.copilot(t).Call(t.Context(), tool, []byte(args), client.CallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.CallID
}

func (r *rig) reader(t *testing.T) *embedded.Reader {
	t.Helper()
	file, err := embedded.OpenReadOnly(t.Context(), filepath.Join(r.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() }) // read only
	return file
}

// awaitOldest waits until retention has left the records of payments from an index on.
func (r *rig) awaitOldest(t *testing.T, want int64) {
	t.Helper()
	file := r.reader(t)
	patient, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		got, err := file.Oldest(t.Context(), paymentsLog)
		if err != nil || got > want {
			t.Fatalf("the oldest record is %d, want %d: %v", got, want, err)
		}
		if got == want {
			return
		}
		select {
		case <-patient:
			t.Fatalf("the oldest record is %d, want %d\n%s", got, want, r.logged.String())
		case <-tick.C:
		}
	}
}

// openings are where calls begin.
func (r *rig) openings(t *testing.T) map[string]int64 {
	t.Helper()
	at := map[string]int64{}
	for rec, err := range r.reader(t).Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		head, err := audit.Peek(rec.Stored)
		if _, known := at[head.Subject]; err == nil && !known && rec.Position.Log == paymentsLog {
			at[head.Subject] = rec.Position.Index
		}
	}
	return at
}

// proved verifies the history of a server that has stopped.
func (r *rig) proved(t *testing.T) (*verify.Report, seal.Verifier) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "data", "keys", "checkpoints.pub"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := seal.ParseVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	report, err := verify.Verify(t.Context(), r.reader(t), verify.Options{Keys: []seal.Verifier{key}})
	if err != nil || !report.OK() {
		t.Fatalf("it does not verify: %v, %v", report.Findings, err)
	}
	return report, key
}

func (r *rig) removals(t *testing.T) []audit.Removal {
	t.Helper()
	var all []audit.Removal
	for rec, err := range r.reader(t).Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := rec.Event()
		if err != nil || e.Type != audit.RecordsRemoved {
			continue
		}
		data, err := audit.DataOf[audit.Removal](e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

// TestRecordsGoWhenTheirRetentionIsOver: archived, on record, from log and history, as
// far as no call is cut; what is left is proved, and the archive by itself.
func TestRecordsGoWhenTheirRetentionIsOver(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	rig.log = "archive: { to: archive }\n"
	r := rig.start(t)
	gone := r.made(t, "payments.refund", `{"payment":"pay-1001","amount":5,"reason":"kettle"}`)
	r.made(t, "payments.accounts", `{}`)
	held := r.made(t, "payments.refund", `{"payment":"pay-1002","amount":120,"reason":"teapot"}`)
	r.made(t, "payments.accounts", `{}`)
	r.stop(t)
	to := rig.openings(t)[held]

	rig.domain = soon
	r = rig.start(t)
	rig.awaitOldest(t, to)
	if code, body := r.get(t, "/v1/calls/"+gone, r.bob()); code != http.StatusNotFound {
		t.Errorf("the call that is gone: HTTP %d: %s", code, body)
	}
	if state, _ := r.state(t, held); state != "held" {
		t.Errorf("the call that was open is %s", state)
	}
	_, body := r.get(t, "/v1/calls", r.bob())
	if n := strings.Count(body, `"call_id"`); n != 2 {
		t.Errorf("the history has %d calls, want 2: %s", n, body)
	}
	r.approve(t, held)
	r.stop(t)
	report, key := rig.proved(t)
	if report.Calls != 2 {
		t.Errorf("verified %+v", report)
	}
	place := filepath.Join(rig.dir, "archive", "payments-calls-from-0")
	if got := rig.removals(t); len(got) != 1 || got[0].Log != paymentsLog || got[0].From != 0 || got[0].To != to || got[0].Archive != place ||
		got[0].Reason != "retention 1ms of domain payments" {
		t.Errorf("on record are %+v", got)
	}
	kept, err := archive.Verify(t.Context(), archive.Dir(place), verify.Options{Keys: []seal.Verifier{key}})
	if err != nil || !kept.OK() || kept.Calls < 2 {
		t.Errorf("the archive: %+v, %v", kept, err)
	}
	// Now nothing is open: the rest goes as well, and after that there is nothing to do.
	r = rig.start(t)
	rig.awaitOldest(t, report.Logs[indexOf(report, paymentsLog)].Size)
	r.stop(t)
	rig.domain = ""
	r = rig.start(t)
	if again := r.made(t, "payments.accounts", `{}`); again == "" {
		t.Error("no call")
	}
	r.stop(t)
	if report, _ := rig.proved(t); report.Calls != 1 || len(rig.removals(t)) != 2 {
		t.Errorf("%+v, on record %+v", report, rig.removals(t))
	}
}

func indexOf(report *verify.Report, log string) int {
	for i, l := range report.Logs {
		if l.Log == log {
			return i
		}
	}
	return -1
}

// TestALegalHoldKeepsRecordsFromTheirRetention: the call that is held and what came after
// it stay until the hold is lifted.
func TestALegalHoldKeepsRecordsFromTheirRetention(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	rig.write(t, rules+leadsHold)
	r := rig.start(t)
	r.made(t, "payments.accounts", `{}`)
	kept := r.made(t, "payments.accounts", `{}`)
	r.made(t, "payments.accounts", `{}`)
	response := r.send(t, http.MethodPost, "/v1/legal-holds", r.bob(), `{"scope":{"call_id":"`+kept+`"},"reason":"case 17"}`)
	var hold httpapi.LegalHold
	if err := json.NewDecoder(response.Body).Decode(&hold); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("HTTP %d, %v", response.StatusCode, err)
	}
	r.stop(t)
	rig.domain = soon
	r = rig.start(t)
	rig.awaitOldest(t, rig.openings(t)[kept])
	response = r.send(t, http.MethodDelete, "/v1/legal-holds/"+hold.ID+"?reason=closed", r.bob(), "")
	if response.StatusCode/100 != 2 {
		t.Fatalf("lift: HTTP %d", response.StatusCode)
	}
	r.stop(t)
	report, _ := rig.proved(t)
	r = rig.start(t)
	rig.awaitOldest(t, report.Logs[indexOf(report, paymentsLog)].Size)
	r.stop(t)
	rig.proved(t)
}

// TestARemovalOnRecordIsFinished: a broker that died between the event and the removing,
// or in the midst of it, goes on when it starts, whatever retention says by then.
func TestARemovalOnRecordIsFinished(t *testing.T) {
	t.Parallel()
	for name, done := range map[string]int64{"before it began": 0, "in its midst": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig := newRig(t)
			r := rig.start(t)
			for range 3 {
				r.made(t, "payments.accounts", `{}`)
			}
			last := r.made(t, "payments.accounts", `{}`)
			r.stop(t)
			to := rig.openings(t)[last]
			rig.dieRemoving(t, to, done)
			r = rig.start(t)
			rig.awaitOldest(t, to)
			_, body := r.get(t, "/v1/calls", r.bob())
			if n := strings.Count(body, `"call_id"`); n != 1 {
				t.Errorf("the history has %d calls, want 1: %s", n, body)
			}
			r.stop(t)
			if report, _ := rig.proved(t); report.Calls != 1 || len(rig.removals(t)) != 1 {
				t.Errorf("%+v, on record %+v", report, rig.removals(t))
			}
		})
	}
}

// dieRemoving leaves the data as a broker does that dies when so many of the records that
// it has recorded as removed are.
func (r *rig) dieRemoving(t *testing.T, to, done int64) {
	t.Helper()
	data := filepath.Join(r.dir, "data")
	log, err := embedded.Open(t.Context(), data, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	root, err := tlog.TreeHash(to, log.Hashes(t.Context(), paymentsLog))
	if err != nil {
		t.Fatal(err)
	}
	cfg := r.config(t)
	e := audittest.NewEvent(audit.RecordsRemoved, "", audit.Removal{
		Log: paymentsLog, To: to, Before: time.Now(), Root: base64.StdEncoding.EncodeToString(root[:]), Reason: "retention 1h of domain payments",
	})
	e.Tenant, e.Source = cfg.Tenant, "deed://"+cfg.Tenant+"/main"
	if _, err := log.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if done > 0 { // the index forgets first
		if err := os.Remove(filepath.Join(data, index.FileName)); err != nil {
			t.Fatal(err)
		}
		if err := log.Remove(t.Context(), paymentsLog, done); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestALogThatWasMovedIsNotGoneOnWith: its history is elsewhere, and must not fork.
func TestALogThatWasMovedIsNotGoneOnWith(t *testing.T) {
	t.Parallel()
	rig := newRig(t)
	rig.start(t).stop(t)
	log, err := embedded.Open(t.Context(), filepath.Join(rig.dir, "data"), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append(t.Context(), audittest.NewEvent(audit.LogMoved, "", audit.Move{To: "tenant acme at pulsar://there"})); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Open(t.Context(), rig.config(t), server.Options{}); !errors.Is(err, broker.ErrMoved) || !strings.Contains(err.Error(), "pulsar://there") {
		t.Errorf("it opens: %v", err)
	}
}
