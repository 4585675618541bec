package topics_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar/topics"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func lines(p topics.Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString(s.String() + "\n")
	}
	for _, kind := range []struct {
		name     string
		findings []topics.Finding
	}{{"refused", p.Refused}, {"strange", p.Strange}, {"note", p.Notes}} {
		for _, f := range kind.findings {
			b.WriteString(kind.name + ": " + f.Object + " " + f.Text + "\n")
		}
	}
	return b.String()
}

func acme() topics.Spec {
	const day = 24 * time.Hour
	return topics.Spec{
		Tenant: "acme", Role: "deed", Admins: []string{"platform"}, Backlog: 10 << 30, Schemas: schemas,
		Domains: []topics.Domain{
			{Name: "payments", Retention: 7 * 365 * day, PayloadRetention: 90 * day, Readers: []string{"auditor"}, Partitions: 4},
			{Name: "source", Retention: 365 * day, PayloadRetention: 365 * day, Readers: []string{"auditor", "lead"}, Partitions: 1},
		},
	}
}

func TestPlanForAnEmptyCluster(t *testing.T) {
	t.Parallel()
	golden(t, "empty.golden", lines(topics.Diff(topics.Desire(acme()), topics.State{Tenant: "acme"})))
}

func TestPlanForDrift(t *testing.T) {
	t.Parallel()
	have := clone(topics.Desire(acme()))
	have.Cluster = map[string]string{
		"authenticationEnabled": "true", "authorizationEnabled": "false", "topicLevelPoliciesEnabled": "false",
		"anonymousUserRole": "guest", "superUserRoles": "[admin, root]",
		"brokerEntryMetadataInterceptors": "[org.apache.pulsar.common.intercept.AppendBrokerTimestampMetadataInterceptor]",
	}
	have.Admins = topics.NamesOf("platform", "intern")
	have.Namespaces["old"] = &topics.Namespace{}
	payments := have.Namespaces["payments"]
	payments.Policies[topics.Deduplication] = topics.Switch(false)
	payments.Policies[topics.Keep] = topics.Retention{Minutes: -1, Megabytes: 1024}
	delete(payments.Policies, topics.Backlog)
	payments.Grants = map[string]topics.Names{
		"deed": topics.NamesOf(topics.Produce, topics.Consume), "auditor": topics.NamesOf(topics.Produce, topics.Consume),
		"stranger": topics.NamesOf(topics.Consume),
	}
	payments.TopicGrants["calls-partition-2"] = map[string]topics.Names{"lead": topics.NamesOf(topics.Consume)}
	payments.Topics[audit.TopicCalls].Partitions = 8
	payments.Topics[audit.TopicCalls].Schema = &topics.Schema{Type: "AVRO", Text: "…"}
	payments.Topics[topics.Payloads].Policies[topics.Keep] = topics.Retention{Minutes: 7 * 24 * 60, Megabytes: -1}
	payments.Topics["drafts"] = &topics.Topic{Partitions: 1}
	source := have.Namespaces["source"]
	source.Topics[audit.TopicCalls].Partitions = 0
	source.Topics[topics.Payloads].Schema = &topics.Schema{Type: "JSON", Text: "…"}
	source.Topics[topics.Payloads].Policies[topics.Keep] = topics.Retention{Minutes: -1, Megabytes: -1}
	golden(t, "drift.golden", lines(topics.Diff(topics.Desire(acme()), have)))
}

func TestNothingToDoWhereAllIsAsItShouldBe(t *testing.T) {
	t.Parallel()
	have := clone(topics.Desire(acme()))
	have.Cluster = map[string]string{"authorizationEnabled": "true"}
	if p := topics.Diff(topics.Desire(acme()), have); p.Drift() || len(p.Notes) != 1 {
		t.Errorf("there is something: %s", lines(p))
	}
}

func TestShrinkingIsRefusedAndNothingElseDone(t *testing.T) {
	t.Parallel()
	have := clone(topics.Desire(acme()))
	have.Namespaces["payments"].Topics[audit.TopicCalls].Partitions = 8
	delete(have.Namespaces["payments"].Grants, "auditor")
	cluster := &simulation{state: have, left: -1}
	plan, _, err := topics.Look(t.Context(), cluster, topics.Desire(acme()))
	if err != nil {
		t.Fatal(err)
	}
	err = topics.Apply(t.Context(), cluster, plan, true, func(s topics.Step) { t.Errorf("done: %v", s) })
	if err == nil || !strings.Contains(err.Error(), "set partitions to 8") {
		t.Errorf("got %v", err)
	}
}
