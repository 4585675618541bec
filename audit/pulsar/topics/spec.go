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

// The topics of a namespace that hold no events.
const (
	Payloads = "payloads" // arguments and results, encrypted
	Keys     = "keys"     // what payloads are encrypted with, the last of each key
)

// compactAfter is how much of the keys may lie about before the topic is compacted, so
// that a key that was erased is gone for good within hours, whoever erased it.
const compactAfter = 1 << 10

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
