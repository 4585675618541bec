package readers

import (
	"slices"
	"time"

	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/policy"
)

// OnPulsar compares what the policies let roles read with what a cluster lets them
// consume: consumers are its roles that may consume anything of a domain, the brokers' own
// left out.
func OnPulsar(cfg *config.Config, set *policy.Set, consumers map[string][]string, now time.Time) []Disagreement {
	c := &comparison{cfg: cfg, set: set, now: now}
	for _, domain := range c.domains() {
		for _, consumer := range consumers[domain] {
			c.consumes(domain, consumer)
		}
		if c.reach(domain) == policy.Everything {
			c.add(domain, "", "the policies let whoever signs in read everything, and Pulsar lets %s consume it", list(consumers[domain]))
			continue
		}
		for _, role := range c.roles() {
			if c.reach(domain, role) == policy.Everything {
				c.reads(domain, role, consumers[domain])
			}
		}
	}
	return c.found
}

// consumes checks that somebody whom Pulsar takes for a role may read in Deed.
func (c *comparison) consumes(domain, consumer string) {
	roles := c.rolesOf(consumer)
	if len(roles) == 0 {
		c.add(domain, consumer, "Pulsar lets %s consume it, which stands for no role that reads", consumer)
		return
	}
	best, role := policy.Nothing, roles[0]
	for _, r := range roles {
		if extent := c.reach(domain, r); extent > best {
			best, role = extent, r
		}
	}
	if best != policy.Everything {
		c.add(domain, role, "Pulsar lets %s consume it, and the policies let %s read %v", consumer, role, best)
	}
}

// reads checks that Pulsar lets a role consume what it may read in Deed. A role that
// deed.yaml maps to no role of Pulsar's is meant to read in Deed alone.
func (c *comparison) reads(domain, role string, consumers []string) {
	for _, consumer := range c.cfg.Log.Pulsar.RolesOf(role) {
		if !slices.Contains(consumers, consumer) {
			c.add(domain, role, "the policies let %s read everything, and Pulsar does not let %s consume it", role, consumer)
		}
	}
}

// rolesOf are Deed's roles that one of Pulsar's stands for.
func (c *comparison) rolesOf(consumer string) []string {
	var roles []string
	for _, role := range c.roles() {
		if slices.Contains(c.cfg.Log.Pulsar.RolesOf(role), consumer) {
			roles = append(roles, role)
		}
	}
	return roles
}
