package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/deedbroker/deed/audit/pulsar/topics"
)

// Do makes one step. It implements [topics.Admin].
func (c *Client) Do(ctx context.Context, s topics.Step) error {
	switch s.Verb {
	case topics.Create:
		return c.create(ctx, s)
	case topics.Administer:
		return c.administer(ctx, s)
	case topics.Set:
		return c.set(ctx, s)
	case topics.Describe:
		return c.describe(ctx, s)
	case topics.Grant:
		return c.grant(ctx, s)
	case topics.Revoke:
		return c.revoke(ctx, s)
	default:
		return fmt.Errorf("no step is called %q", s.Verb)
	}
}

type tenantInfo struct {
	Admins   []string `json:"adminRoles"`
	Clusters []string `json:"allowedClusters"`
}

// create makes the object unless it is there.
func (c *Client) create(ctx context.Context, s topics.Step) error {
	var err error
	switch o := s.Object; {
	case o.Domain == "":
		err = c.createTenant(ctx, o.Tenant)
	case o.Topic == "":
		err = c.put(ctx, "namespaces/"+path(o), nil)
	default:
		err = c.createTopic(ctx, o, s.To)
	}
	if answered(err, http.StatusConflict) {
		return nil
	}
	return err
}

// createTenant lets the tenant use all clusters there are: which of them its namespaces
// are replicated to is another matter.
func (c *Client) createTenant(ctx context.Context, tenant string) error {
	info := tenantInfo{Admins: []string{}}
	if _, err := c.get(ctx, "clusters", &info.Clusters); err != nil {
		return err
	}
	return c.put(ctx, "tenants/"+tenant, info)
}

func (c *Client) createTopic(ctx context.Context, o topics.Object, partitions topics.Value) error {
	n, ok := partitions.(topics.Count)
	switch {
	case !ok:
		return errors.New("the number of partitions is missing")
	case n == 0:
		return c.put(ctx, "persistent/"+path(o), nil)
	default:
		return c.put(ctx, "persistent/"+path(o)+"/partitions", int(n))
	}
}

func (c *Client) administer(ctx context.Context, s topics.Step) error {
	admins, ok := s.To.(topics.Names)
	if !ok {
		return errors.New("the admins are missing")
	}
	var info tenantInfo
	if _, err := c.get(ctx, "tenants/"+s.Object.Tenant, &info); err != nil {
		return err
	}
	info.Admins = admins.List()
	return c.post(ctx, "tenants/"+s.Object.Tenant, info, nil)
}

func (c *Client) describe(ctx context.Context, s topics.Step) error {
	schema, ok := s.To.(topics.Schema)
	if !ok {
		return errors.New("the schema is missing")
	}
	if s.From != nil {
		// Pulsar takes a schema that the topic had before for known, and goes on with the
		// newest. A topic without one refuses producers that bring one just as well.
		if err := c.remove(ctx, "schemas/"+path(s.Object)+"/schema", nil); err != nil {
			return err
		}
	}
	return c.post(ctx, "schemas/"+path(s.Object)+"/schema", map[string]any{
		"type": schema.Type, "schema": schema.Text, "properties": map[string]string{dataSchema: schema.URI},
	}, nil)
}

func (c *Client) grant(ctx context.Context, s topics.Step) error {
	actions, ok := s.To.(topics.Names)
	if !ok {
		return errors.New("the actions are missing")
	}
	return c.post(ctx, permissions(s), actions.List(), nil)
}

// revoke takes 404 and 412 for done: there is no such permission.
func (c *Client) revoke(ctx context.Context, s topics.Step) error {
	err := c.remove(ctx, permissions(s), nil)
	if answered(err, http.StatusNotFound, http.StatusPreconditionFailed) {
		return nil
	}
	return err
}

func permissions(s topics.Step) string {
	return resource(s.Object) + "/permissions/" + s.Role
}

// path is an object's in the admin API, after the kind of object.
func path(o topics.Object) string {
	p := o.Tenant + "/" + o.Domain
	if o.Topic != "" {
		p += "/" + o.Topic
	}
	return p
}

// resource is the path of an object that policies and permissions are of.
func resource(o topics.Object) string {
	if o.Topic == "" {
		return "namespaces/" + path(o)
	}
	return "persistent/" + path(o)
}

// settleTime bounds how long a topic's policy may take until it can be read back:
// Pulsar keeps them in a topic of its own, and answers before it has read that.
const settleTime = 20 * time.Second

// set changes a policy, and waits until it can be seen.
func (c *Client) set(ctx context.Context, s topics.Step) error {
	if err := c.send(ctx, s); err != nil || s.Object.Topic == "" {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return c.settled(ctx, s)
}

func (c *Client) settled(ctx context.Context, s topics.Step) error {
	const pause = 50 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		for _, o := range overridable() {
			if o.policy != s.Policy {
				continue
			}
			if v, err := o.read(ctx, c, path(s.Object)); err != nil || v == s.To {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the policy of the topic was set and is not in force: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
