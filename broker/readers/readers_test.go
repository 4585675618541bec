package readers_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/broker/readers"
)

const policies = `
permit (principal in Role::"auditor", action == Action::"read", resource in Domain::"payments");
permit (principal in Role::"auditor", action == Action::"read", resource in Domain::"deed");
permit (principal in Role::"auditor", action == Action::"read", resource == Domain::"deed");
permit (principal in Role::"auditor", action == Action::"read", resource == Domain::"payments");
permit (principal in Role::"lead", action == Action::"read", resource);
permit (principal in Role::"support", action == Action::"read", resource is Call) when { resource.principal == principal };`

func compile(t *testing.T, text string) *policy.Set {
	t.Helper()
	set, findings := policy.Compile([]policy.File{{Name: "p.cedar", Text: []byte(text)}}, nil, policy.Options{})
	if set == nil {
		t.Fatal(findings)
	}
	return set
}

func parse(t *testing.T, more string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("deed.yaml", []byte("issuers: [{ url: https://idp.example }]\npolicies: [p.cedar]\n"+more))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func words(found []readers.Disagreement) []string {
	texts := []string{}
	for _, d := range found {
		texts = append(texts, d.String())
	}
	return texts
}

func TestReadersAndPoliciesAreComparedBothWays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		domains, policies string
		want              []string
	}{
		"they agree": {"domains: { payments: { readers: [auditor, lead] }, deed: { readers: [lead, auditor] } }", policies, []string{}},
		"they do not": {"domains: { payments: { readers: [support, auditor, clerk] } }", policies, []string{
			"payments: clerk is among its readers, and the policies let that role read nothing",
			"payments: the policies let lead read everything, and its readers are support, auditor, clerk",
			"payments: support is among its readers, and the policies let that role read some of it",
		}},
		"readers are not said": {"domains: { payments: {} }", policies, []string{}},
		"nobody is said":       {"domains: { payments: { readers: [] } }", `permit (principal in Role::"lead", action == Action::"read", resource);`, []string{"payments: the policies let lead read everything, and its readers are nobody"}},
		"everybody":            {"domains: { payments: { readers: [lead] } }", `permit (principal, action == Action::"read", resource);`, []string{"payments: the policies let whoever signs in read everything, and its readers are lead"}},
		"the whole domain, call by call": {"domains: { payments: { readers: [lead] } }", `permit (principal in Role::"lead", action == Action::"read", resource is Call);`, []string{
			"payments: lead is among its readers, and the policies let that role read some of it",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := readers.InDeed(parse(t, tt.domains), compile(t, tt.policies), time.Now())
			if diff := cmp.Diff(tt.want, words(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPulsarAndPoliciesAreComparedBothWays(t *testing.T) {
	t.Parallel()
	cfg := parse(t, `
domains: { payments: { readers: [auditor, lead] }, source: { readers: [lead] }, deed: { readers: [auditor, lead] } }
log: { pulsar: { url: "pulsar://127.0.0.1", readers: { auditor: [archive, carol], lead: [] } } }`)
	for name, tt := range map[string]struct {
		policies  string
		consumers map[string][]string
		want      []string
	}{
		"they agree": {policies, map[string][]string{"payments": {"archive", "carol"}, "deed": {"archive", "carol"}}, []string{}},
		"they do not": {policies, map[string][]string{"payments": {"carol", "support"}, "source": {"archive", "stranger"}}, []string{
			"deed: the policies let auditor read everything, and Pulsar does not let archive consume it",
			"deed: the policies let auditor read everything, and Pulsar does not let carol consume it",
			"payments: Pulsar lets support consume it, and the policies let support read some of it",
			"payments: the policies let auditor read everything, and Pulsar does not let archive consume it",
			"source: Pulsar lets archive consume it, and the policies let auditor read nothing",
			"source: Pulsar lets stranger consume it, which stands for no role that reads",
		}},
		"everybody": {`permit (principal, action == Action::"read", resource);`, map[string][]string{"payments": {"carol"}}, []string{
			"deed: the policies let whoever signs in read everything, and Pulsar lets nobody consume it",
			"payments: the policies let whoever signs in read everything, and Pulsar lets carol consume it",
			"source: the policies let whoever signs in read everything, and Pulsar lets nobody consume it",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := readers.OnPulsar(cfg, compile(t, tt.policies), tt.consumers, time.Now())
			if diff := cmp.Diff(tt.want, words(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
