package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit/pulsar/admin"
	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/broker/readers"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// topicsHome is a directory with a deed.yaml for a tenant of its own on a real Pulsar.
type topicsHome struct {
	home

	tenant string
	pulsar need.SharedPulsar
}

const readPolicies = `
permit (principal in Role::"auditor", action == Action::"read", resource);
permit (principal in Role::"lead", action == Action::"read", resource in Domain::"source");
permit (principal in Role::"lead", action == Action::"read", resource == Domain::"source");
`

func newTopicsHome(t *testing.T) topicsHome {
	t.Helper()
	h := topicsHome{newHome(t), "cli-" + uuid.NewString(), need.Pulsar(t)}
	h.configure(t, "partitions: 1")
	h.write(t, "read.cedar", readPolicies)
	return h
}

func (h topicsHome) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(string(h.home), name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h topicsHome) configure(t *testing.T, payments string) {
	t.Helper()
	h.write(t, "deed.yaml", fmt.Sprintf(`
tenant: %s
data: data
issuers: [{ url: "https://idp.example" }]
policies: [read.cedar]
log: { pulsar: { url: "%s", admin: "%s" } }
domains:
  deed: { readers: [auditor] }
  payments: { readers: [auditor], %s }
  source: { readers: [auditor, lead], partitions: 1 }
`, h.tenant, h.pulsar.URL, h.pulsar.Admin, payments))
}

// topics are the arguments of a verb of topics, with a superuser's token.
func (h topicsHome) topics(args ...string) []string {
	return append(append([]string{"topics"}, args...), "--admin-token-file", h.pulsar.Keys.Path(pulsar.SuperuserToken))
}

func TestTopicsAreAppliedAgainAfterAKill(t *testing.T) {
	t.Parallel()
	h := newTopicsHome(t)
	if out, _, code := h.run(t, h.topics("check")...); code != exitFailed || !strings.Contains(out, "create") {
		t.Fatalf("check of nothing: exit code %d\n%s", code, out)
	}
	p := h.start(t, h.topics("apply", "--yes")...)
	for range 10 {
		if _, ok := <-p.lines; !ok {
			t.Fatalf("it ended by itself: %s", p.errs.String())
		}
	}
	p.kill(t)
	if _, _, code := h.run(t, h.topics("check")...); code != exitFailed {
		t.Fatalf("check after a kill: exit code %d", code)
	}
	h.must(t, h.topics("apply", "--yes"), "grant "+h.tenant+"/payments to auditor", "is as deed.yaml says")
	h.must(t, h.topics("apply", "--yes"), "0 steps made")
	h.must(t, h.topics("check"), "nothing to change")
}

func TestTopicsCheckNamesDriftAndDisagreements(t *testing.T) {
	t.Parallel()
	h := newTopicsHome(t)
	h.must(t, h.topics("apply", "--yes"))
	h.must(t, h.topics("check"))
	token, err := os.ReadFile(h.pulsar.Keys.Path(pulsar.SuperuserToken))
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := admin.New(admin.Options{URL: h.pulsar.Admin, Token: func() (string, error) { return string(token), nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []topics.Step{
		{Verb: topics.Set, Object: topics.Object{Tenant: h.tenant, Domain: "payments"}, Policy: topics.Deduplication, To: topics.Switch(false)},
		{Verb: topics.Revoke, Object: topics.Object{Tenant: h.tenant, Domain: "source"}, Role: "lead"},
		{Verb: topics.Grant, Object: topics.Object{Tenant: h.tenant, Domain: "payments", Topic: "calls"}, Role: "lead", To: topics.NamesOf(topics.Consume)},
	} {
		if err := cluster.Do(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	out, _, code := h.run(t, append(h.topics("check"), "--json")...)
	var seen struct {
		Steps []struct {
			Verb   string `json:"verb"`
			Policy string `json:"policy"`
			Role   string `json:"role"`
		} `json:"steps"`
		Disagreements []readers.Disagreement `json:"disagreements"`
	}
	if err := json.Unmarshal([]byte(out), &seen); err != nil || code != exitFailed {
		t.Fatalf("exit code %d, %v\n%s", code, err, out)
	}
	if len(seen.Steps) != 3 || seen.Steps[0].Verb != "revoke" || seen.Steps[1].Policy != "deduplication" || seen.Steps[2].Role != "lead" {
		t.Errorf("steps: %+v", seen.Steps)
	}
	want := "payments: Pulsar lets lead consume it, and the policies let lead read nothing; " +
		"source: the policies let lead read everything, and Pulsar does not let lead consume it"
	var got []string
	for _, d := range seen.Disagreements {
		got = append(got, d.String())
	}
	if strings.Join(got, "; ") != want {
		t.Errorf("disagreements: %q", got)
	}
	h.must(t, h.topics("apply", "--yes"), "3 steps made")
	h.must(t, h.topics("check"))

	h.write(t, "read.cedar", strings.ReplaceAll(readPolicies, "auditor", "controller"))
	if out, _, code := h.run(t, h.topics("check")...); code != exitFailed || !strings.Contains(out, "nothing to change") ||
		!strings.Contains(out, "DISAGREE payments: Pulsar lets auditor consume it, and the policies let auditor read nothing") ||
		!strings.Contains(out, "DISAGREE payments: the policies let controller read everything, and Pulsar does not let controller consume it") {
		t.Errorf("policies that changed: exit code %d\n%s", code, out)
	}
}

func TestTopicsThatWouldLoseSomethingNeedMoreThanAYes(t *testing.T) {
	t.Parallel()
	h := newTopicsHome(t)
	h.must(t, h.topics("apply", "--yes"))
	h.configure(t, "partitions: 1, retention: 30d")
	if _, errs, code := h.run(t, h.topics("apply", "--yes")...); code != exitFailed || !strings.Contains(errs, "--allow-erasure") {
		t.Errorf("a shorter retention: exit code %d, %s", code, errs)
	}
	h.must(t, h.topics("apply", "--yes", "--allow-erasure"), "Pulsar deletes what is older than 30d")
	h.must(t, h.topics("check"))
	h.configure(t, "partitions: 2, retention: 30d")
	if out, errs, code := h.run(t, h.topics("apply", "--yes")...); code != exitFailed || !strings.Contains(errs, "set partitions to 1") {
		t.Errorf("more partitions: exit code %d, %s%s", code, out, errs)
	}
}

func TestTopicsRefuseWithWords(t *testing.T) {
	t.Parallel()
	h := newTopicsHome(t)
	h.write(t, "brokers.token", "not a token")
	for name, tt := range map[string]struct {
		args []string
		code int
		errs string
	}{
		"no consent":       {h.topics("apply"), exitUsage, "give --yes"},
		"no token":         {[]string{"topics", "plan"}, exitRefused, "--admin-token-file"},
		"a bad token":      {[]string{"topics", "plan", "--admin-token-file", "brokers.token"}, exitRefused, "the admin API refuses"},
		"no token file":    {[]string{"topics", "plan", "--admin-token-file", "nowhere"}, exitFailed, "nowhere: no such file"},
		"no configuration": {[]string{"topics", "plan", "-c", "nowhere.yaml"}, exitUsage, "nowhere.yaml"},
	} {
		if _, errs, code := h.run(t, tt.args...); code != tt.code || !strings.Contains(errs, tt.errs) {
			t.Errorf("%s: exit code %d, %s", name, code, errs)
		}
	}
}
