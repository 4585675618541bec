// Package tenant says what a deed.yaml wants of a tenant of Pulsar, in the words of
// package topics.
package tenant

import (
	"maps"
	"slices"

	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/audit/schema"
	"github.com/deedbroker/deed/broker/config"
)

// Spec is what a configuration with log.pulsar says. The topics' schemas are this
// version's.
func Spec(cfg *config.Config) (topics.Spec, error) {
	p := cfg.Log.Pulsar
	s := topics.Spec{Tenant: cfg.Tenant, Role: p.Role, Admins: p.Admins, Backlog: int64(p.Backlog), Schemas: map[string]topics.Schema{}}
	for _, topic := range schema.Topics() {
		uri, text, err := schema.OfTopic(topic)
		if err != nil {
			return s, err
		}
		s.Schemas[topic] = topics.NewSchema(uri, text)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Domains)) {
		d := cfg.Domains[name]
		domain := topics.Domain{
			Name: name, Retention: d.Retention.Duration, PayloadRetention: d.PayloadRetention.Duration, Partitions: d.Partitions,
		}
		for _, reader := range d.Readers {
			domain.Readers = append(domain.Readers, p.RolesOf(reader)...)
		}
		s.Domains = append(s.Domains, domain)
	}
	return s, nil
}
