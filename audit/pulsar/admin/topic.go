package admin

import (
	"context"
	"slices"

	"github.com/deedbroker/deed/audit/pulsar/topics"
)

// override is one policy that a topic can have of its own.
type override struct {
	policy topics.Policy
	read   func(ctx context.Context, c *Client, topic string) (topics.Value, error)
}

// overridable are the policies that are looked at: those whose override would undo
// what the namespace says. Pulsar answers with nothing where there is none.
func overridable() []override {
	return []override{
		{topics.KeepUncompacted, compactionSubscription},
		overrideOf(topics.Keep, func(r retention) topics.Value { return topics.Retention(r) }),
		overrideOf(topics.MessageTTL, func(n int64) topics.Value { return topics.TTL(n) }),
		overrideOf(topics.Deduplication, func(on bool) topics.Value { return topics.Switch(on) }),
		overrideOf(topics.DeleteIdle, func(i idle) topics.Value { return topics.Switch(i.Delete) }),
		overrideOf(topics.Compaction, func(n int64) topics.Value { return topics.Bytes(n) }),
		overrideOf(topics.Backlog, func(quotas map[string]backlogQuota) topics.Value {
			q, has := quotas[bySize]
			if !has {
				return nil
			}
			return topics.Quota{Bytes: q.Size, Action: q.Action}
		}),
	}
}

// compactionSubscription reports whether compaction reads a topic of keys. Other topics
// may be compacted by whoever likes to, without harm.
func compactionSubscription(ctx context.Context, c *Client, topic string) (topics.Value, error) {
	if local(topic) != topics.Keys {
		return nil, nil
	}
	var names []string
	if _, err := c.get(ctx, "persistent/"+topic+"/subscriptions", &names); err != nil || !slices.Contains(names, "__compaction") {
		return nil, err
	}
	return topics.Switch(true), nil
}

func overrideOf[T any](p topics.Policy, value func(T) topics.Value) override {
	return override{p, func(ctx context.Context, c *Client, topic string) (topics.Value, error) {
		name, err := listedAs(p)
		if err != nil {
			return nil, err
		}
		var v T
		found, err := c.get(ctx, "persistent/"+topic+"/"+name, &v)
		if err != nil || !found {
			return nil, err
		}
		return value(v), nil
	}}
}

// topic reads a topic with all its partitions.
func (c *Client) topic(ctx context.Context, name string) (*topics.Topic, error) {
	var meta struct{ Partitions int }
	if _, err := c.get(ctx, "persistent/"+name+"/partitions", &meta); err != nil {
		return nil, err
	}
	t := &topics.Topic{Partitions: topics.Count(meta.Partitions), Policies: map[topics.Policy]topics.Value{}}
	for _, o := range overridable() {
		v, err := o.read(ctx, c, name)
		if err != nil {
			return nil, err
		}
		if v != nil {
			t.Policies[o.policy] = v
		}
	}
	var err error
	t.Schema, err = c.schema(ctx, name)
	return t, err
}

// The property of a schema that says where it is described.
const dataSchema = "dataschema"

// schema reads the newest schema of a topic.
func (c *Client) schema(ctx context.Context, name string) (*topics.Schema, error) {
	var s struct {
		Type       string
		Data       string
		Properties map[string]string
	}
	if found, err := c.get(ctx, "schemas/"+name+"/schema", &s); err != nil || !found {
		return nil, err
	}
	schema := topics.NewSchema(s.Properties[dataSchema], s.Data)
	schema.Type = s.Type
	return &schema, nil
}
