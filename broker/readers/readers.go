package readers

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/policy"
)

// Disagreement is one role about which two of them say different things.
type Disagreement struct {
	Domain string `json:"domain"`
	Role   string `json:"role"` // Deed's; of Pulsar where Deed has none; empty for whoever signs in
	Text   string `json:"text"`
}

// String is the disagreement in words.
func (d Disagreement) String() string { return d.Domain + ": " + d.Text }

// comparison is of one configuration, with the policies in force.
type comparison struct {
	cfg   *config.Config
	set   *policy.Set
	now   time.Time
	found []Disagreement
}

func (c *comparison) add(domain, role, format string, args ...any) {
	c.found = append(c.found, Disagreement{domain, role, fmt.Sprintf(format, args...)})
}

// domains are all there are.
func (c *comparison) domains() []string {
	all := slices.Collect(maps.Keys(c.cfg.Domains))
	if _, configured := c.cfg.Domains[audit.OwnDomain]; !configured {
		all = append(all, audit.OwnDomain)
	}
	slices.Sort(all)
	return all
}

// roles are those that the policies on reading, or any domain's readers, mention.
func (c *comparison) roles() []string {
	all := c.set.RolesThatRead()
	for _, d := range c.cfg.Domains {
		all = append(all, d.Readers...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *comparison) reach(domain string, roles ...string) policy.Extent {
	var upstreams []string
	for name, u := range c.cfg.Upstreams {
		if u.Domain == domain {
			upstreams = append(upstreams, name)
		}
	}
	slices.Sort(upstreams)
	return c.set.Reach(roles, domain, upstreams, c.now)
}

// InDeed compares the readers of each domain with the policies. On Pulsar readers are
// who may consume; with the embedded log only domains that name some are looked at.
func InDeed(cfg *config.Config, set *policy.Set, now time.Time) []Disagreement {
	c := &comparison{cfg: cfg, set: set, now: now}
	for _, domain := range c.domains() {
		readers := cfg.Domains[domain].Readers
		if readers == nil && cfg.Log.Pulsar == nil {
			continue
		}
		if c.reach(domain) == policy.Everything {
			c.add(domain, "", "the policies let whoever signs in read everything, and its readers are %s", list(readers))
			continue
		}
		for _, role := range c.roles() {
			c.compare(domain, role, slices.Contains(readers, role))
		}
	}
	return c.found
}

func (c *comparison) compare(domain, role string, reads bool) {
	switch extent := c.reach(domain, role); {
	case reads && extent != policy.Everything:
		c.add(domain, role, "%s is among its readers, and the policies let that role read %v", role, extent)
	case !reads && extent == policy.Everything:
		c.add(domain, role, "the policies let %s read everything, and its readers are %s", role, list(c.cfg.Domains[domain].Readers))
	}
}

func list(roles []string) string {
	if len(roles) == 0 {
		return "nobody"
	}
	return strings.Join(roles, ", ")
}
