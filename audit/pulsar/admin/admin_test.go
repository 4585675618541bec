package admin_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar/admin"
	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

const day = 24 * time.Hour

func specification(t *testing.T) topics.Spec {
	t.Helper()
	return topics.Spec{
		Tenant: "topics-" + uuid.NewString(), Role: "deed", Backlog: 1 << 30,
		Domains: []topics.Domain{
			{Name: "payments", Retention: 7 * 365 * day, PayloadRetention: 90 * day, Readers: []string{"auditor"}, Partitions: 2},
			{Name: "source", Retention: 30 * day, PayloadRetention: 30 * day, Readers: []string{"lead"}, Partitions: 1},
		},
		Schemas: map[string]topics.Schema{audit.TopicCalls: topics.NewSchema("https://example.com/calls.json", `{"type":"object"}`)},
	}
}

func clientOf(t *testing.T, p need.SharedPulsar, role string, transport http.RoundTripper) *admin.Client {
	t.Helper()
	token, err := p.Keys.Token(role, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := admin.New(admin.Options{URL: p.Admin, Token: func() (string, error) { return token, nil }, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func look(t *testing.T, c topics.Admin, s topics.Spec) topics.Plan {
	t.Helper()
	plan, _, err := topics.Look(t.Context(), c, topics.Desire(s))
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func apply(t *testing.T, c topics.Admin, s topics.Spec) {
	t.Helper()
	if err := topics.Apply(t.Context(), c, look(t, c, s), false, func(topics.Step) {}); err != nil {
		t.Fatal(err)
	}
}

// cutOff is a connection that is lost after so many requests.
type cutOff struct{ left atomic.Int64 }

func (c *cutOff) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.left.Add(-1) < 0 {
		return nil, errors.New("cut off")
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestApplyResumesAndIsDoneOnce(t *testing.T) {
	t.Parallel()
	p, s := need.Pulsar(t), specification(t)
	whole := clientOf(t, p, pulsar.Superuser, nil)
	wanted := len(look(t, whole, s).Steps)
	for _, requests := range []int64{12, 30} {
		cut := &cutOff{}
		cut.left.Store(1 << 30)
		c := clientOf(t, p, pulsar.Superuser, cut)
		plan := look(t, c, s)
		cut.left.Store(requests)
		if err := topics.Apply(t.Context(), c, plan, false, func(topics.Step) {}); !errors.Is(err, admin.ErrUnreachable) {
			t.Fatalf("cut off after %d requests: %v", requests, err)
		}
		left := len(look(t, whole, s).Steps)
		if left == 0 || left >= wanted {
			t.Errorf("after being cut off %d steps are left of %d", left, wanted)
		}
		wanted = left
	}
	apply(t, whole, s)
	if plan := look(t, whole, s); plan.Drift() {
		t.Errorf("after applying: %+v", plan)
	}
}

// Whatever somebody changes behind Deed's back is named, and mended.
func TestDriftIsNamedAndMended(t *testing.T) {
	t.Parallel()
	p, s := need.Pulsar(t), specification(t)
	c := clientOf(t, p, pulsar.Superuser, nil)
	apply(t, c, s)
	namespace := topics.Object{Tenant: s.Tenant, Domain: "payments"}
	calls := topics.Object{Tenant: s.Tenant, Domain: "payments", Topic: audit.TopicCalls}
	payloads := topics.Object{Tenant: s.Tenant, Domain: "source", Topic: topics.Payloads}
	partition := topics.Object{Tenant: s.Tenant, Domain: "payments", Topic: audit.TopicCalls + "-partition-1"}
	for _, change := range []topics.Step{
		{Verb: topics.Administer, Object: topics.Object{Tenant: s.Tenant}, To: topics.NamesOf("intern")},
		{Verb: topics.Set, Object: namespace, Policy: topics.Deduplication, To: topics.Switch(false)},
		{Verb: topics.Set, Object: namespace, Policy: topics.AutoCreation, To: topics.Switch(true)},
		{Verb: topics.Set, Object: namespace, Policy: topics.DeleteIdle, To: topics.Switch(true)},
		{Verb: topics.Set, Object: namespace, Policy: topics.Keep, To: topics.Retention{Minutes: 60, Megabytes: 2048}},
		{Verb: topics.Set, Object: namespace, Policy: topics.MessageTTL, To: topics.TTL(60)},
		{Verb: topics.Set, Object: namespace, Policy: topics.Backlog, To: topics.Quota{Bytes: 1 << 20, Action: "producer_exception"}},
		{Verb: topics.Set, Object: namespace, Policy: topics.SchemaUpdates, To: topics.Switch(true)},
		{Verb: topics.Set, Object: namespace, Policy: topics.SchemaForced, To: topics.Switch(true)},
		{Verb: topics.Set, Object: calls, Policy: topics.Deduplication, To: topics.Switch(false)},
		{Verb: topics.Set, Object: calls, Policy: topics.Backlog, To: topics.Quota{Bytes: 1 << 20, Action: "producer_exception"}},
		{Verb: topics.Set, Object: payloads, Policy: topics.Keep, To: topics.Retention{Minutes: 60, Megabytes: -1}},
		{Verb: topics.Set, Object: payloads, Policy: topics.MessageTTL, To: topics.TTL(60)},
		{Verb: topics.Set, Object: payloads, Policy: topics.Compaction, To: topics.Bytes(1 << 20)},
		{Verb: topics.Describe, Object: calls, From: s.Schemas[audit.TopicCalls], To: topics.NewSchema("https://example.com/other.json", `{}`)},
		{Verb: topics.Grant, Object: namespace, Role: "stranger", To: topics.NamesOf(topics.Consume)},
		{Verb: topics.Grant, Object: namespace, Role: "auditor", To: topics.NamesOf(topics.Consume, topics.Produce)},
		{Verb: topics.Grant, Object: partition, Role: "stranger", To: topics.NamesOf(topics.Consume)},
		{Verb: topics.Revoke, Object: topics.Object{Tenant: s.Tenant, Domain: "source"}, Role: "deed"},
	} {
		if err := c.Do(t.Context(), change); err != nil {
			t.Fatalf("%v: %v", change, err)
		}
	}
	got := map[string]bool{}
	for _, step := range look(t, c, s).Steps {
		got[strings.ReplaceAll(step.String(), s.Tenant, "T")] = true
	}
	want := map[string]bool{}
	for _, step := range []string{
		"administer T: intern → nobody",
		"revoke T/payments to stranger: consume → (not set)",
		"grant T/payments to auditor: consume, produce → consume",
		"revoke persistent://T/payments/calls-partition-1 to stranger: consume → (not set)",
		"set T/payments auto_topic_creation: on → off",
		"set T/payments delete_inactive_topics: on → off",
		"set T/payments deduplication: off → on",
		"set T/payments retention: 1h, 2048 MB at most → 7y",
		"set T/payments message_ttl: 1m → 7y",
		"set T/payments backlog_quota: 1 MiB, then producer_exception → 1 GiB, then consumer_backlog_eviction",
		"set T/payments schema_auto_update: on → off",
		"set T/payments schema_validation_enforced: on → off",
		"set persistent://T/payments/calls deduplication: off → (not set)",
		"set persistent://T/payments/calls backlog_quota: 1 MiB, then producer_exception → (not set)",
		"describe persistent://T/payments/calls: https://example.com/other.json (sha256 44136fa355b3) → https://example.com/calls.json (sha256 a2c799262a3c)",
		"set persistent://T/source/payloads retention: 1h → (not set)",
		"set persistent://T/source/payloads message_ttl: 1m → (not set)",
		"set persistent://T/source/payloads compaction_threshold: 1 MiB → (not set)",
		"grant T/source to deed: (not set) → consume, produce",
	} {
		want[step] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	apply(t, c, s)
	if plan := look(t, c, s); plan.Drift() {
		t.Errorf("after mending: %+v", plan)
	}
}

func TestStrangersTopicsAreNamed(t *testing.T) {
	t.Parallel()
	p, s := need.Pulsar(t), specification(t)
	c := clientOf(t, p, pulsar.Superuser, nil)
	apply(t, c, s)
	drafts := topics.Object{Tenant: s.Tenant, Domain: "payments", Topic: "drafts"}
	for _, step := range []topics.Step{
		{Verb: topics.Create, Object: drafts, To: topics.Count(3)},
		{Verb: topics.Create, Object: topics.Object{Tenant: s.Tenant, Domain: "elsewhere"}},
		{Verb: topics.Describe, Object: topics.Object{Tenant: s.Tenant, Domain: "payments", Topic: topics.Payloads}, To: topics.NewSchema("x", "{}")},
	} {
		if err := c.Do(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	plan := look(t, c, s)
	if len(plan.Steps) > 0 || len(plan.Strange) != 2 || plan.Strange[0].Object != drafts.String() && plan.Strange[1].Object != drafts.String() {
		t.Errorf("got %+v", plan)
	}
}

func TestGrowingIsRefused(t *testing.T) {
	t.Parallel()
	p, s := need.Pulsar(t), specification(t)
	c := clientOf(t, p, pulsar.Superuser, nil)
	apply(t, c, s)
	for _, partitions := range []int{1, 3} {
		s.Domains[0].Partitions = partitions
		err := topics.Apply(t.Context(), c, look(t, c, s), true, func(step topics.Step) { t.Errorf("done: %v", step) })
		if !errors.Is(err, topics.ErrRefused) || !strings.Contains(err.Error(), "set partitions to 2") {
			t.Errorf("to %d partitions: %v", partitions, err)
		}
	}
}

// Whoever may not administer is told so, with what Pulsar said.
func TestRefusalsOfTheAdminAPI(t *testing.T) {
	t.Parallel()
	p, s := need.Pulsar(t), specification(t)
	apply(t, clientOf(t, p, pulsar.Superuser, nil), s)
	for _, role := range []string{"deed", "auditor"} {
		if _, err := clientOf(t, p, role, nil).Observe(t.Context(), s.Tenant, nil); !errors.Is(err, admin.ErrRefused) {
			t.Errorf("%s: %v", role, err)
		}
	}
	gone, err := admin.New(admin.Options{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := gone.Observe(ctx, s.Tenant, nil); !errors.Is(err, admin.ErrUnreachable) {
		t.Errorf("nothing listens there: %v", err)
	}
}
