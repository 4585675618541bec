package admin

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/deedbroker/deed/audit/pulsar/topics"
)

// Observe reads the state of a tenant. It implements [topics.Admin].
func (c *Client) Observe(ctx context.Context, tenant string, domains []string) (topics.State, error) {
	state := topics.State{Tenant: tenant, Namespaces: map[string]*topics.Namespace{}}
	var err error
	if state.Cluster, err = c.cluster(ctx); err != nil {
		return state, err
	}
	var info struct{ AdminRoles []string }
	if state.Exists, err = c.get(ctx, "tenants/"+tenant, &info); err != nil || !state.Exists {
		return state, err
	}
	state.Admins = topics.NamesOf(info.AdminRoles...)
	var namespaces []string
	if _, err := c.get(ctx, "namespaces/"+tenant, &namespaces); err != nil {
		return state, err
	}
	for _, full := range namespaces {
		domain := strings.TrimPrefix(full, tenant+"/")
		n := &topics.Namespace{}
		if slices.Contains(domains, domain) {
			if n, err = c.namespace(ctx, full); err != nil {
				return state, err
			}
		}
		state.Namespaces[domain] = n
	}
	return state, nil
}

// cluster reads the settings of brokers. Only superusers see them: to others they are nil.
func (c *Client) cluster(ctx context.Context) (map[string]string, error) {
	var settings map[string]string
	_, err := c.get(ctx, "brokers/configuration/runtime", &settings)
	if errors.Is(err, ErrRefused) {
		return nil, nil
	}
	return settings, err
}

// policies are a namespace's, as the admin API has them.
type policies struct {
	Auth struct {
		Namespace map[string][]string            `json:"namespace_auth"`
		Topics    map[string]map[string][]string `json:"destination_auth"`
	} `json:"auth_policies"`
	Retention    *retention              `json:"retention_policies"`
	TTL          *int64                  `json:"message_ttl_in_seconds"`
	Dedup        *bool                   `json:"deduplicationEnabled"`
	AutoCreation *autoCreation           `json:"autoTopicCreationOverride"`
	Idle         *idle                   `json:"inactive_topic_policies"`
	Backlog      map[string]backlogQuota `json:"backlog_quota_map"`
	AutoUpdate   *bool                   `json:"is_allow_auto_update_schema"`
	Enforced     bool                    `json:"schema_validation_enforced"`
	Strategy     string                  `json:"schema_compatibility_strategy"`
}

type retention struct {
	Minutes   int64 `json:"retentionTimeInMinutes"`
	Megabytes int64 `json:"retentionSizeInMB"`
}

type autoCreation struct {
	Allowed bool   `json:"allowAutoTopicCreation"`
	Type    string `json:"topicType,omitempty"`
}

type idle struct {
	Mode    string `json:"inactiveTopicDeleteMode"`
	Seconds int64  `json:"maxInactiveDurationSeconds"`
	Delete  bool   `json:"deleteWhileInactive"`
}

type backlogQuota struct {
	Size   int64  `json:"limitSize"`
	Time   int64  `json:"limitTime"`
	Action string `json:"policy"`
}

// bySize is the kind of quota that is managed.
const bySize = "destination_storage"

func (c *Client) namespace(ctx context.Context, name string) (*topics.Namespace, error) {
	var p policies
	if _, err := c.get(ctx, "namespaces/"+name, &p); err != nil {
		return nil, err
	}
	n := &topics.Namespace{
		Policies: p.values(), Grants: map[string]topics.Names{},
		TopicGrants: map[string]map[string]topics.Names{}, Topics: map[string]*topics.Topic{},
	}
	for role, actions := range p.Auth.Namespace {
		n.Grants[role] = topics.NamesOf(actions...)
	}
	for topic, roles := range p.Auth.Topics {
		if len(roles) == 0 {
			continue
		}
		granted := map[string]topics.Names{}
		for role, actions := range roles {
			granted[role] = topics.NamesOf(actions...)
		}
		n.TopicGrants[local(topic)] = granted
	}
	return n, c.topics(ctx, name, n)
}

// values are those of the policies that are set.
func (p *policies) values() map[topics.Policy]topics.Value {
	set := map[topics.Policy]topics.Value{topics.SchemaForced: topics.Switch(p.Enforced)}
	if p.Retention != nil {
		set[topics.Keep] = topics.Retention(*p.Retention)
	}
	if p.TTL != nil {
		set[topics.MessageTTL] = topics.TTL(*p.TTL)
	}
	if p.Dedup != nil {
		set[topics.Deduplication] = topics.Switch(*p.Dedup)
	}
	if p.AutoCreation != nil {
		set[topics.AutoCreation] = topics.Switch(p.AutoCreation.Allowed)
	}
	if p.Idle != nil {
		set[topics.DeleteIdle] = topics.Switch(p.Idle.Delete)
	}
	if q, has := p.Backlog[bySize]; has {
		set[topics.Backlog] = topics.Quota{Bytes: q.Size, Action: q.Action}
	}
	if p.AutoUpdate != nil {
		set[topics.SchemaUpdates] = topics.Switch(*p.AutoUpdate)
	}
	if p.Strategy != "" && p.Strategy != "UNDEFINED" {
		set[topics.Compatibility] = topics.Word(p.Strategy)
	}
	return set
}

// topics reads those of a namespace, except Pulsar's own.
func (c *Client) topics(ctx context.Context, namespace string, n *topics.Namespace) error {
	var partitioned, all []string
	if _, err := c.get(ctx, "persistent/"+namespace+"/partitioned", &partitioned); err != nil {
		return err
	}
	if _, err := c.get(ctx, "persistent/"+namespace, &all); err != nil {
		return err
	}
	for _, name := range append(partitioned, all...) {
		topic := topics.Whole(local(name))
		if n.Topics[topic] != nil || strings.HasPrefix(topic, "__") {
			continue
		}
		t, err := c.topic(ctx, namespace+"/"+topic)
		if err != nil {
			return err
		}
		n.Topics[topic] = t
	}
	return nil
}

// local is the last part of a topic's name.
func local(topic string) string { return topic[strings.LastIndexByte(topic, '/')+1:] }
