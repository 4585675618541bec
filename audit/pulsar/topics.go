package pulsar

import (
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/deedbroker/deed/audit"
)

// The topics of a domain that hold no events.
const (
	TopicPayloads = "payloads"
	TopicKeys     = "keys"
)

// EventTopics are the topics of a domain that hold events.
func EventTopics(domain string) []string {
	if domain == audit.OwnDomain {
		return []string{audit.TopicCalls, audit.TopicControl, audit.TopicRejections, audit.TopicCheckpoints}
	}
	return []string{audit.TopicCalls}
}

// TopicName is the full name of a domain's topic.
func TopicName(tenant, domain, topic string) string {
	return "persistent://" + tenant + "/" + domain + "/" + topic
}

const partitionSuffix = "-partition-"

// place is one partition of a topic, or a topic without partitions.
type place struct {
	tenant, domain, topic string
	partition             int    // -1 if the topic has none
	name                  string // persistent://tenant/domain/topic[-partition-n]
	log                   string // domain/topic[/n]
}

func newPlace(tenant, domain, topic, name string) place {
	p := place{tenant: tenant, domain: domain, topic: topic, partition: -1, name: name, log: domain + "/" + topic}
	if _, n, ok := strings.Cut(name, TopicName(tenant, domain, topic)+partitionSuffix); ok {
		if i, err := strconv.Atoi(n); err == nil {
			p.partition, p.log = i, p.log+"/"+n
		}
	}
	return p
}

// route says which of n partitions holds the messages with a key.
func route(key string, n int) int {
	if n <= 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))       // never fails
	return int(h.Sum32() % uint32(n)) //nolint:gosec // a number of partitions is small and positive
}

// keyOf is the key of an event's messages.
func keyOf(e audit.Event) string {
	if e.Subject != "" {
		return e.Subject
	}
	return e.ID
}
