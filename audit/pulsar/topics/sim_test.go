package topics_test

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/deedbroker/deed/audit/pulsar/topics"
)

// simulation is a cluster that keeps a state and does to it what a step says.
type simulation struct {
	state topics.State
	left  int // steps until it fails; negative: never
}

var errKilled = errors.New("killed")

func (c *simulation) Observe(context.Context, string, []string) (topics.State, error) {
	return clone(c.state), nil
}

func (c *simulation) Do(_ context.Context, s topics.Step) error {
	if c.left == 0 {
		return errKilled
	}
	c.left--
	if s.Object.Domain == "" {
		return c.tenant(s)
	}
	n := c.state.Namespaces[s.Object.Domain]
	switch {
	case n == nil && (s.Verb != topics.Create || s.Object.Topic != ""):
		return fmt.Errorf("%v: there is no such namespace", s)
	case n == nil:
		c.state.Namespaces[s.Object.Domain] = &topics.Namespace{
			Policies: map[topics.Policy]topics.Value{}, Grants: map[string]topics.Names{},
			TopicGrants: map[string]map[string]topics.Names{}, Topics: map[string]*topics.Topic{},
		}
		return nil
	case s.Verb == topics.Grant || s.Verb == topics.Revoke:
		return grants(n, s)
	case s.Object.Topic == "":
		set(n.Policies, s)
		return nil
	default:
		return onTopic(n, s)
	}
}

func (c *simulation) tenant(s topics.Step) error {
	switch {
	case s.Verb == topics.Create:
		c.state.Exists = true
	case !c.state.Exists:
		return fmt.Errorf("%v: there is no such tenant", s)
	default:
		c.state.Admins, _ = s.To.(topics.Names)
	}
	return nil
}

func onTopic(n *topics.Namespace, s topics.Step) error {
	t := n.Topics[s.Object.Topic]
	switch {
	case s.Verb == topics.Create && t == nil:
		count, _ := s.To.(topics.Count)
		n.Topics[s.Object.Topic] = &topics.Topic{Partitions: count, Policies: map[topics.Policy]topics.Value{}}
	case t == nil:
		return fmt.Errorf("%v: there is no such topic", s)
	case s.Verb == topics.Describe:
		schema, _ := s.To.(topics.Schema)
		t.Schema = &schema
	case s.Verb == topics.Set:
		set(t.Policies, s)
	}
	return nil
}

func set(policies map[topics.Policy]topics.Value, s topics.Step) {
	if s.To == nil {
		delete(policies, s.Policy)
		return
	}
	policies[s.Policy] = s.To
}

func grants(n *topics.Namespace, s topics.Step) error {
	roles := n.Grants
	if s.Object.Topic != "" {
		if n.Topics[topics.Whole(s.Object.Topic)] == nil {
			return fmt.Errorf("%v: there is no such topic", s)
		}
		roles = n.TopicGrants[s.Object.Topic]
		if roles == nil {
			roles = map[string]topics.Names{}
			n.TopicGrants[s.Object.Topic] = roles
		}
	}
	if s.Verb == topics.Revoke {
		if _, has := roles[s.Role]; !has {
			return fmt.Errorf("%v: it has none", s)
		}
		delete(roles, s.Role)
		return nil
	}
	roles[s.Role], _ = s.To.(topics.Names)
	return nil
}

func clone(s topics.State) topics.State {
	namespaces := map[string]*topics.Namespace{}
	for name, n := range s.Namespaces {
		c := &topics.Namespace{
			Policies: maps.Clone(n.Policies), Grants: maps.Clone(n.Grants),
			TopicGrants: map[string]map[string]topics.Names{}, Topics: map[string]*topics.Topic{},
		}
		for topic, roles := range n.TopicGrants {
			if len(roles) > 0 {
				c.TopicGrants[topic] = maps.Clone(roles)
			}
		}
		for topic, t := range n.Topics {
			copied := *t
			copied.Policies = maps.Clone(t.Policies)
			c.Topics[topic] = &copied
		}
		namespaces[name] = c
	}
	s.Namespaces = namespaces
	return s
}
