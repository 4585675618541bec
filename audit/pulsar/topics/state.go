package topics

import (
	"strings"

	"github.com/deedbroker/deed/audit"
)

// Policy is a setting of a namespace or a topic, by Pulsar's name for it.
type Policy string

// The policies that are managed, in the order in which they are set.
const (
	AutoCreation    Policy = "auto_topic_creation"
	DeleteIdle      Policy = "delete_inactive_topics"
	Deduplication   Policy = "deduplication"
	KeepUncompacted Policy = "compaction_subscription"
	Keep            Policy = "retention"
	MessageTTL      Policy = "message_ttl"
	Backlog         Policy = "backlog_quota"
	SchemaUpdates   Policy = "schema_auto_update"
	Compatibility   Policy = "schema_compatibility"
	SchemaForced    Policy = "schema_validation_enforced"
	Compaction      Policy = "compaction_threshold"
)

// What roles may do.
const (
	Produce = "produce"
	Consume = "consume"
)

// State is a tenant as it is, or as it should be.
type State struct {
	Tenant     string
	Exists     bool
	Admins     Names
	Cluster    map[string]string     // settings of its brokers; nil if they can't be seen
	Namespaces map[string]*Namespace // by domain
}

// Namespace is a domain.
type Namespace struct {
	Policies    map[Policy]Value
	Grants      map[string]Names            // by role: what it may do in all topics
	TopicGrants map[string]map[string]Names // by topic and role: beyond that, in one topic
	Topics      map[string]*Topic
}

// Topic is a topic with all its partitions.
type Topic struct {
	Partitions Count
	Policies   map[Policy]Value // that it has beside those of its namespace
	Schema     *Schema
}

// Object is what a step or a finding is about: a tenant, a namespace or a topic.
type Object struct{ Tenant, Domain, Topic string }

// String is the object's name in Pulsar.
func (o Object) String() string {
	switch {
	case o.Domain == "":
		return o.Tenant
	case o.Topic == "":
		return o.Tenant + "/" + o.Domain
	default:
		return "persistent://" + o.Tenant + "/" + o.Domain + "/" + o.Topic
	}
}

// Whole is the topic without the number of one of its partitions.
func Whole(topic string) string {
	if i := strings.LastIndex(topic, "-partition-"); i > 0 {
		return topic[:i]
	}
	return topic
}

// Consumers are the roles that may consume anything of a domain, beside the checkpoints
// that whoever reads some domain needs.
func (s State) Consumers(domain string) []string {
	n := s.Namespaces[domain]
	if n == nil {
		return []string{}
	}
	var roles []string
	collect := func(granted map[string]Names) {
		for role, actions := range granted {
			if actions.Has(Consume) {
				roles = append(roles, role)
			}
		}
	}
	collect(n.Grants)
	for topic, granted := range n.TopicGrants {
		if domain != audit.OwnDomain || Whole(topic) != audit.TopicCheckpoints {
			collect(granted)
		}
	}
	return NamesOf(roles...).List()
}
