package topics_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar/topics"
)

const brokers = "deed"

var (
	drawRoles = rapid.SliceOfN(rapid.SampledFrom([]string{"auditor", "lead", "ops", "archive"}), 0, 3)
	drawLife  = rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.IntRange(1, 20000).Draw(t, "minutes")) * time.Minute
	})
	drawSpec = rapid.Custom(func(t *rapid.T) topics.Spec {
		s := topics.Spec{Tenant: "acme", Role: brokers, Backlog: 1 << 30, Admins: drawRoles.Draw(t, "admins"), Schemas: schemas}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"payments", "source", audit.OwnDomain}), 0, 3, rapid.ID).Draw(t, "domains") {
			life := drawLife.Draw(t, "retention")
			partitions := 2
			if name == audit.OwnDomain {
				partitions = 1
			}
			s.Domains = append(s.Domains, topics.Domain{
				Name: name, Retention: life, PayloadRetention: min(life, drawLife.Draw(t, "payloads")),
				Readers: drawRoles.Draw(t, "readers"), Partitions: partitions,
			})
		}
		return s
	})
	schemas = map[string]topics.Schema{
		audit.TopicCalls: {Type: "NONE", URI: "https://example.com/calls.json", Digest: "c0ffee", Text: "{}"},
	}
)

// drawMess is what others made of a tenant: other specifications applied to it, wholly
// or in part, and then some.
func drawMess(t *rapid.T) *simulation {
	cluster := &simulation{state: topics.State{Tenant: "acme", Namespaces: map[string]*topics.Namespace{}}}
	for range rapid.IntRange(0, 2).Draw(t, "earlier") {
		cluster.left = rapid.IntRange(-1, 60).Draw(t, "steps")
		if err := bring(t, cluster, drawSpec.Draw(t, "earlier specification"), true); err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
	}
	for domain, n := range cluster.state.Namespaces {
		if rapid.Bool().Draw(t, "stranger in "+domain) {
			n.Grants["auditor"] = topics.NamesOf(topics.Produce, topics.Consume)
			n.Grants["stranger"] = topics.NamesOf(topics.Produce)
		}
		if rapid.Bool().Draw(t, "off in "+domain) {
			n.Policies[topics.Deduplication] = topics.Switch(false)
		}
		for name, topic := range n.Topics {
			if rapid.Bool().Draw(t, "mess in "+name) {
				n.TopicGrants[name+"-partition-0"] = map[string]topics.Names{"stranger": topics.NamesOf(topics.Consume)}
				topic.Policies[topics.Deduplication] = topics.Switch(false)
				topic.Schema = &topics.Schema{Type: "AVRO", Text: "other"}
			}
		}
	}
	cluster.left = -1
	return cluster
}

func bring(t *rapid.T, c *simulation, s topics.Spec, mayErase bool) error {
	plan, _, err := topics.Look(t.Context(), c, topics.Desire(s))
	if err != nil {
		return err
	}
	return topics.Apply(t.Context(), c, plan, mayErase, func(topics.Step) {})
}

// Whatever is there, and wherever applying is killed, applying again ends with what
// the specification says, and then there is nothing left to do.
func TestApplyingConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cluster, s := drawMess(t), drawSpec.Draw(t, "specification")
		cluster.left = rapid.IntRange(0, 40).Draw(t, "killed after")
		if err := bring(t, cluster, s, true); err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		cluster.left = -1
		if err := bring(t, cluster, s, true); err != nil {
			t.Fatal(err)
		}
		plan, have, err := topics.Look(t.Context(), cluster, topics.Desire(s))
		if err != nil || len(plan.Steps) > 0 || len(plan.Refused) > 0 {
			t.Fatalf("after applying: %v, %+v", err, plan)
		}
		want := topics.Desire(s)
		for domain, n := range want.Namespaces {
			if diff := cmp.Diff(n.Grants, have.Namespaces[domain].Grants); diff != "" {
				t.Errorf("grants of %s (-want +got):\n%s", domain, diff)
			}
		}
	})
}

// Nobody gets in before the door can be shut: after each step, whoever may write writes
// to a namespace with deduplication on, and nobody has what neither was there nor is wanted.
func TestEveryStepLeavesPermissionsSafe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cluster, s := drawMess(t), drawSpec.Draw(t, "specification")
		before, want := clone(cluster.state), topics.Desire(s)
		plan := topics.Diff(want, before)
		for _, step := range plan.Steps {
			if err := cluster.Do(t.Context(), step); err != nil {
				t.Fatal(err)
			}
			for domain, n := range want.Namespaces {
				now := cluster.state.Namespaces[domain]
				if now == nil {
					continue
				}
				for role, actions := range now.Grants {
					was := topics.Names("")
					if old := before.Namespaces[domain]; old != nil {
						was = old.Grants[role]
					}
					if actions != was && actions != n.Grants[role] {
						t.Fatalf("after %v: %s may %v in %s", step, role, actions, domain)
					}
					if actions != was && actions.Has(topics.Produce) && now.Policies[topics.Deduplication] != topics.Switch(true) {
						t.Fatalf("after %v: %s may produce in %s without deduplication", step, role, domain)
					}
				}
			}
		}
	})
}

// Each reader of a domain consumes it and nothing else but checkpoints; the brokers do
// both everywhere; nobody else is mentioned.
func TestDesiredPermissionsAreTheReaders(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec.Draw(t, "specification")
		want := topics.Desire(s)
		reads := map[string][]string{}
		for _, d := range s.Domains {
			reads[d.Name] = d.Readers
		}
		for domain, n := range want.Namespaces {
			for role, actions := range n.Grants {
				expected := topics.NamesOf(topics.Consume)
				if role == brokers {
					expected = topics.NamesOf(topics.Consume, topics.Produce)
				} else if !slices.Contains(reads[domain], role) {
					t.Errorf("%s is granted %v in %s and does not read it", role, actions, domain)
				}
				if actions != expected {
					t.Errorf("%s may %v in %s, want %v", role, actions, domain, expected)
				}
			}
			for topic := range n.TopicGrants {
				if domain != audit.OwnDomain || topic != audit.TopicCheckpoints {
					t.Errorf("%s/%s has grants of its own: %v", domain, topic, n.TopicGrants[topic])
				}
			}
		}
	})
}

// A step that lets Pulsar delete what it kept is never made without consent.
func TestShorterRetentionNeedsConsent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		long := 100 + rapid.IntRange(1, 1000).Draw(t, "days")
		short := rapid.IntRange(1, long).Draw(t, "shorter")
		spec := func(days int) topics.Spec {
			life := time.Duration(days) * 24 * time.Hour
			return topics.Spec{Tenant: "acme", Role: brokers, Domains: []topics.Domain{{
				Name: "payments", Retention: life, PayloadRetention: life / 2, Partitions: 1,
			}}}
		}
		cluster := &simulation{state: topics.State{Tenant: "acme", Namespaces: map[string]*topics.Namespace{}}, left: -1}
		if err := bring(t, cluster, spec(long), false); err != nil {
			t.Fatalf("the first time: %v", err)
		}
		before := fmt.Sprint(clone(cluster.state).Namespaces["payments"].Policies)
		err := bring(t, cluster, spec(short), false)
		if (short < long) != errors.Is(err, topics.ErrErases) {
			t.Fatalf("from %d to %d days: %v", long, short, err)
		}
		if after := fmt.Sprint(cluster.state.Namespaces["payments"].Policies); err != nil && after != before {
			t.Fatalf("refused, and yet changed: %s", after)
		}
		if err := bring(t, cluster, spec(long+1), false); err != nil {
			t.Fatalf("longer again: %v", err)
		}
	})
}
