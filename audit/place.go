package audit

import "strings"

// A log is named domain/topic, such as payments/calls. Where a topic is divided into
// partitions, each is a log, and a Merkle tree, of its own: payments/calls/2.

// SplitLog takes the name of a log apart. Partition is empty if the topic has none.
func SplitLog(name string) (domain, topic, partition string) {
	domain, rest, _ := strings.Cut(name, "/")
	topic, partition, _ = strings.Cut(rest, "/")
	return domain, topic, partition
}

// BelongsIn reports whether the event says that it stands in the log of this name.
func (e Event) BelongsIn(log string) bool {
	domain, topic, _ := SplitLog(log)
	return e.Domain == domain && e.Topic == topic
}
