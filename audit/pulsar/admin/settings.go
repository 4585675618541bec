package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/deedbroker/deed/audit/pulsar/topics"
)

// settingOf is how the admin API calls a policy of an object where it is set.
func settingOf(p topics.Policy, ofTopic bool) (string, error) {
	switch p {
	case topics.AutoCreation:
		return "autoTopicCreation", nil
	case topics.DeleteIdle:
		return "inactiveTopicPolicies", nil
	case topics.Deduplication:
		if ofTopic {
			return "deduplicationEnabled", nil
		}
		return "deduplication", nil
	case topics.Keep:
		return "retention", nil
	case topics.MessageTTL:
		return "messageTTL", nil
	case topics.Backlog:
		return "backlogQuota", nil
	case topics.SchemaUpdates:
		return "isAllowAutoUpdateSchema", nil
	case topics.Compatibility:
		return "schemaCompatibilityStrategy", nil
	case topics.SchemaForced:
		return "schemaValidationEnforced", nil
	case topics.KeepUncompacted:
		return "compaction", nil
	case topics.Compaction:
		return "compactionThreshold", nil
	default:
		return "", fmt.Errorf("no policy is called %q", p)
	}
}

// listedAs is where a policy of a topic is read, if not where it is set.
func listedAs(p topics.Policy) (string, error) {
	if p == topics.Backlog {
		return "backlogQuotaMap", nil
	}
	return settingOf(p, true)
}

// bodyOf is a value as the admin API wants it.
func bodyOf(p topics.Policy, v topics.Value) (any, error) {
	switch v := v.(type) {
	case topics.Retention:
		return retention(v), nil
	case topics.TTL:
		return int64(v), nil
	case topics.Bytes:
		return int64(v), nil
	case topics.Word:
		return string(v), nil
	case topics.Quota:
		return backlogQuota{Size: v.Bytes, Time: -1, Action: v.Action}, nil
	case topics.Switch:
		return switchBody(p, bool(v)), nil
	default:
		return nil, fmt.Errorf("policy %s cannot be %v", p, v)
	}
}

// idleMode and idleSeconds are what would hold if deleting idle topics were on.
const (
	idleMode    = "delete_when_no_subscriptions"
	idleSeconds = 60
)

func switchBody(p topics.Policy, on bool) any {
	switch p {
	case topics.AutoCreation:
		creation := autoCreation{Allowed: on}
		if on { // the kind of topic is part of it then
			creation.Type = "non-partitioned"
		}
		return creation
	case topics.DeleteIdle:
		return idle{Mode: idleMode, Seconds: idleSeconds, Delete: on}
	default:
		return on
	}
}

// send asks for the change that a step of the verb Set is.
func (c *Client) send(ctx context.Context, s topics.Step) error {
	ofTopic := s.Object.Topic != ""
	name, err := settingOf(s.Policy, ofTopic)
	if err != nil {
		return err
	}
	at := resource(s.Object) + "/" + name
	query := map[string]string{}
	if s.Policy == topics.Backlog {
		query["backlogQuotaType"] = bySize
	}
	if s.To == nil {
		return c.remove(ctx, at, query)
	}
	body, err := bodyOf(s.Policy, s.To)
	if err != nil {
		return err
	}
	switch {
	case s.Policy == topics.Compatibility:
		return c.put(ctx, at, body)
	case s.Policy == topics.KeepUncompacted:
		return c.compact(ctx, at)
	case s.Policy == topics.MessageTTL && ofTopic:
		ttl, _ := s.To.(topics.TTL) // bodyOf has seen to it
		query["messageTTL"] = strconv.FormatInt(int64(ttl), 10)
		return c.post(ctx, at, nil, query)
	default:
		return c.post(ctx, at, body, query)
	}
}

// compact has a topic compacted, which leaves a subscription behind. That it is being
// compacted already is as good.
func (c *Client) compact(ctx context.Context, at string) error {
	err := c.put(ctx, at, nil)
	if answered(err, http.StatusConflict) {
		return nil
	}
	return err
}
