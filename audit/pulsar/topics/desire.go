package topics

import (
	"math"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Desire derives the state that there should be.
func Desire(s Spec) State {
	want := State{Tenant: s.Tenant, Exists: true, Admins: NamesOf(s.Admins...), Namespaces: map[string]*Namespace{}}
	for _, d := range s.domains() {
		n := s.namespace(d)
		if d.Name == audit.OwnDomain {
			s.addOwn(n, d)
		}
		want.Namespaces[d.Name] = n
	}
	return want
}

func (s Spec) namespace(d Domain) *Namespace {
	n := &Namespace{
		Policies: map[Policy]Value{
			AutoCreation: Switch(false), DeleteIdle: Switch(false), Deduplication: Switch(true),
			Keep: retention(d.Retention), MessageTTL: ttl(d.Retention),
			Backlog:       Quota{Bytes: s.Backlog, Action: "consumer_backlog_eviction"},
			SchemaUpdates: Switch(false), Compatibility: Word("ALWAYS_COMPATIBLE"), SchemaForced: Switch(false),
		},
		Grants:      map[string]Names{s.Role: NamesOf(Produce, Consume)},
		TopicGrants: map[string]map[string]Names{},
		Topics: map[string]*Topic{
			audit.TopicCalls: s.topic(audit.TopicCalls, d.Partitions),
			Payloads:         s.shorter(Payloads, d.Partitions, d.PayloadRetention, d.Retention),
			Keys:             s.keys(),
		},
	}
	// Payloads travel in batches, of which deduplication would lose some; storing one
	// twice does no harm.
	n.Topics[Payloads].Policies[Deduplication] = Switch(false)
	for _, reader := range d.Readers {
		n.Grants[reader] = NamesOf(Consume)
	}
	return n
}

// addOwn adds what only the broker's own domain has. Whoever reads some domain may
// consume the checkpoints: without them nothing that is read can be proved, and they
// tell nothing but sizes and hashes.
func (s Spec) addOwn(n *Namespace, d Domain) {
	n.Topics[audit.TopicControl] = s.topic(audit.TopicControl, 0)
	n.Topics[audit.TopicCheckpoints] = s.topic(audit.TopicCheckpoints, 0)
	n.Topics[audit.TopicRejections] = s.shorter(audit.TopicRejections, 0, rejectionsLive, d.Retention)
	checkers := map[string]Names{}
	for _, other := range s.Domains {
		for _, reader := range other.Readers {
			if _, reads := n.Grants[reader]; !reads {
				checkers[reader] = NamesOf(Consume)
			}
		}
	}
	if len(checkers) > 0 {
		n.TopicGrants[audit.TopicCheckpoints] = checkers
	}
}

func (s Spec) topic(name string, partitions int) *Topic {
	t := &Topic{Partitions: Count(partitions), Policies: map[Policy]Value{}}
	if schema, has := s.Schemas[name]; has {
		t.Schema = &schema
	}
	return t
}

// shorter is a topic whose messages live less long than those of its namespace.
func (s Spec) shorter(name string, partitions int, life, namespace time.Duration) *Topic {
	t := s.topic(name, partitions)
	if life < namespace {
		t.Policies[Keep], t.Policies[MessageTTL] = retention(life), ttl(life)
	}
	return t
}

// keys is a topic of which only the last message of each key matters. What was there
// before is not retained, and would be gone before the first compaction but for the
// subscription that compaction reads by: Pulsar deletes nothing that it has not read.
func (s Spec) keys() *Topic {
	t := s.topic(Keys, 0)
	t.Policies[Deduplication] = Switch(false)
	t.Policies[KeepUncompacted] = Switch(true)
	t.Policies[Keep], t.Policies[MessageTTL] = Retention{}, TTL(0)
	t.Policies[Compaction] = Bytes(compactAfter)
	return t
}

// retention is a span in Pulsar's minutes, rounded up.
func retention(d time.Duration) Retention {
	minutes := (int64(d) + int64(time.Minute) - 1) / int64(time.Minute)
	return Retention{Minutes: min(minutes, math.MaxInt32), Megabytes: -1}
}

// ttl is a span in Pulsar's seconds, rounded up to the minute, as retention is.
func ttl(d time.Duration) TTL {
	return TTL(min(retention(d).Minutes*60, math.MaxInt32))
}
