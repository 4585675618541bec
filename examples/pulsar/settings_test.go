package pulsar_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// clusters are the settings of brokers in the two deployments, by Pulsar's names for them.
func clusters(t *testing.T) map[string]map[string]string {
	t.Helper()
	var compose struct {
		Services map[string]struct{ Environment map[string]string }
	}
	var chart struct {
		Broker struct {
			ConfigData map[string]string `yaml:"configData"`
		}
	}
	readYAML(t, "compose.yaml", &compose)
	readYAML(t, "values.yaml", &chart)
	return map[string]map[string]string{
		"compose.yaml": settings(compose.Services["broker2"].Environment),
		"values.yaml":  settings(chart.Broker.ConfigData),
	}
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// A key overrides the one that is merged in.
	if err := yaml.UnmarshalWithOptions(text, into, yaml.AllowDuplicateMapKey()); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// settings are those variables that the image writes into broker.conf.
func settings(environment map[string]string) map[string]string {
	found := map[string]string{}
	for name, value := range environment {
		name = strings.TrimPrefix(name, "PULSAR_PREFIX_")
		if name != "PULSAR_MEM" {
			found[name] = value
		}
	}
	return found
}

// What the deployments set is what `deed topics check` looks for.
func TestClustersAreAsCheckWantsThem(t *testing.T) {
	t.Parallel()
	for name, cluster := range clusters(t) {
		plan := topics.Diff(topics.State{Tenant: "acme"}, topics.State{Tenant: "acme", Exists: true, Cluster: cluster})
		if len(plan.Strange) > 0 {
			t.Errorf("%s: %+v", name, plan.Strange)
		}
		for setting, want := range map[string]string{
			"exposingBrokerEntryMetadataToClientEnabled": "true", "allowAutoTopicCreation": "false",
			"brokerDeleteInactiveTopicsEnabled": "false", "managedLedgerDefaultAckQuorum": "2",
		} {
			if cluster[setting] != want {
				t.Errorf("%s: %s is %q, want %q", name, setting, cluster[setting], want)
			}
		}
	}
	for name, want := range map[string]string{"compose.yaml": `journalSyncData: "true"`, "values.yaml": `journalSyncData: "true"`} {
		text, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %s: %v", name, want, err)
		}
	}
}

// Pulsar ignores a setting that it doesn't know: a misspelt one would be lost.
func TestPulsarKnowsEverySetting(t *testing.T) {
	t.Parallel()
	p := need.Pulsar(t)
	known := knownSettings(t, p)
	for name, cluster := range clusters(t) {
		for setting := range cluster {
			if !known[setting] {
				t.Errorf("%s: Pulsar %s knows no setting %s", name, pulsar.Version, setting)
			}
		}
	}
}

func knownSettings(t *testing.T, p need.SharedPulsar) map[string]bool {
	t.Helper()
	token, err := p.Keys.Token(pulsar.Superuser, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Admin+"/admin/v2/brokers/configuration/runtime", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := new(http.Client).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // only read
	var all map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"tokenPublicKey": true, "clusterName": true} // of plug-ins they are not shown
	for name := range all {
		known[name] = true
	}
	if len(known) < 100 {
		t.Fatal(fmt.Sprint("the broker shows only ", known))
	}
	return known
}
