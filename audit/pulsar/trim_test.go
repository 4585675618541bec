package pulsar_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/pulsartest"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// TestWhatRetentionLeavesIsProved has Pulsar remove payloads, and then calls, as retention
// does after years; what is left is proved from the topics alone, by the checkpoints, and
// brokers that come then go on.
func TestWhatRetentionLeavesIsProved(t *testing.T) {
	t.Parallel()
	tenant := pulsartest.New(t, pulsartest.Layout{Domains: []string{"payments"}})
	key, err := seal.CreateKey(filepath.Join(t.TempDir(), "keys", "key"), tenant.Name)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sealCalls(t, tenant, key, "a", dir, 20)
	trim(t, tenant, pulsar.TopicPayloads)
	sealCalls(t, tenant, key, "a", dir, 20)
	report := verifyTopics(t, tenant, key)
	if report.Payloads != 40 || report.Erased != 40 {
		t.Errorf("%d payloads and %d erased, want 40 of each", report.Payloads, report.Erased)
	}

	trim(t, tenant, audit.TopicCalls)
	report = reportTopics(t, tenant, key, time.Nanosecond)
	if !report.OK() || !strings.Contains(strings.Join(report.Notes, "\n"), "payments/calls: retention has removed all of its 80 records") {
		t.Errorf("of what retention has emptied the notes are %q, the findings %v", report.Notes, report.Findings)
	}
	report = reportTopics(t, tenant, key, 24*time.Hour)
	if len(report.Findings) != 1 || report.Findings[0].Rule != verify.Truncated {
		t.Errorf("of what was emptied before its time the findings are %v", report.Findings)
	}
	sealCalls(t, tenant, key, "b", t.TempDir(), 20) // it has never seen what is gone
	report = verifyTopics(t, tenant, key)
	for _, l := range report.Logs {
		if l.Log == "payments/calls" && (l.Size != 120 || l.Unsealed != 0) {
			t.Errorf("%s has %d records, %d unsealed, want 120", l.Log, l.Size, l.Unsealed)
		}
	}
	if report.Payloads != 40 || len(report.Notes) == 0 {
		t.Errorf("%d payloads are proved, want 40; it is noted that %q", report.Payloads, report.Notes)
	}
	t.Logf("notes: %q", report.Notes)
}

// trim has Pulsar remove all that a topic has, as if its retention were over.
func trim(t *testing.T, tenant *pulsartest.Tenant, topic string) {
	t.Helper()
	path := "persistent/" + tenant.Name + "/payments/" + topic
	tenant.Do(t, http.MethodPost, path+"/retention", map[string]int{"retentionTimeInMinutes": 0, "retentionSizeInMB": 0})
	eventually(t, "trim "+topic, func() error {
		tenant.Do(t, http.MethodPut, path+"/unload", nil) // begins another ledger
		tenant.Do(t, http.MethodPost, path+"/trim", nil)
		var s struct {
			Messages int `json:"msgInCounter"`
			Size     int `json:"storageSize"`
		}
		if err := json.Unmarshal(tenant.Do(t, http.MethodGet, path+"/stats", nil), &s); err != nil {
			return err
		}
		if s.Size > 0 {
			return fmt.Errorf("%d bytes are left", s.Size)
		}
		return nil
	})
	tenant.Do(t, http.MethodDelete, path+"/retention", nil)
}
