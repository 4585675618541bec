package topics

import (
	"time"

	"github.com/deedbroker/deed/audit"
)

// Spec is what configuration says.
type Spec struct {
	Tenant  string
	Role    string   // of the brokers
	Admins  []string // roles that administer the tenant
	Backlog int64    // bytes that a subscription may leave unread
	Domains []Domain // the broker's own is added if it is not among them

	// Schemas are the texts of the topics' JSON Schemas, by the topic's name in its
	// namespace.
	Schemas map[string]Schema
}

// Domain is the unit of permission and retention.
type Domain struct {
	Name             string
	Retention        time.Duration
	PayloadRetention time.Duration
	Readers          []string // Pulsar roles
	Partitions       int
}

// Payloads is the topic of a namespace beside those that package audit names.
const Payloads = "payloads"

// rejectionsLive is how long samples of failed authentications are kept at most. They
// prove nothing, and strangers cause them.
const rejectionsLive = 30 * 24 * time.Hour

// own is the broker's own domain if configuration says nothing of it: as small as it
// can be, and as long-lived as the longest of the others, whose checkpoints it holds.
func (s Spec) own() Domain {
	d := Domain{Name: audit.OwnDomain, Partitions: 1}
	for _, other := range s.Domains {
		d.Retention = max(d.Retention, other.Retention)
		d.PayloadRetention = max(d.PayloadRetention, other.PayloadRetention)
	}
	return d
}

// domains are all of them, the broker's own included.
func (s Spec) domains() []Domain {
	for _, d := range s.Domains {
		if d.Name == audit.OwnDomain {
			return s.Domains
		}
	}
	return append([]Domain{s.own()}, s.Domains...)
}
