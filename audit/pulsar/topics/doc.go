// Package topics derives what Deed needs of a Pulsar cluster from configuration, and
// says what has to be done about it.
//
// [Desire] turns a [Spec] into the [State] that there should be: a namespace for each
// domain, its topics, who may produce and consume, how long messages live, and the
// policies that the log stands on. [Diff] compares it with the state that is there,
// which package admin observes, and makes a [Plan]: steps that mend what differs, and
// what no step mends. Both are pure; the cluster is behind [Admin].
//
// # Names
//
//	persistent://{tenant}/{domain}/calls      every event of every call
//	persistent://{tenant}/{domain}/payloads   arguments and results, encrypted
//	persistent://{tenant}/{domain}/keys       what with
//	persistent://{tenant}/deed/control        and rejections, checkpoints, and calls that
//	                                          reached no domain
//
// # Why each policy is what it is
//
//   - Deduplication is on: without it a send whose acknowledgement was lost is stored
//     twice. It is off for payloads and keys, which are no worse for being stored twice.
//   - Topics are never created by using them, nor deleted for being idle: either would start
//     a second history.
//   - Retention is the domain's, and payloads have a shorter one of their own. A message
//     that a subscription hasn't acknowledged outlives its retention, so that the time to
//     live is the same span: then it is a bound.
//   - Keys have no retention, and a subscription for compaction from the beginning, which
//     alone keeps them: what compaction has replaced goes, what it has not read stays.
//   - A subscription that lags more than the backlog is moved on. Any other policy would let
//     a slow reader stop the brokers from writing; the reader sees a gap in the sequence and
//     reads from its last position.
//   - The schema of a topic is its JSON Schema, as type NONE: Pulsar's JSON type takes Avro
//     definitions alone. Producers bring no schema; with automatic updates off, one that
//     does is refused.
//
// # What a plan never does
//
// No step deletes a topic, a namespace, a subscription or a message. A step after which
// Pulsar may delete messages sooner than before says so ([Step.Erases]), and is done only
// when whoever applies the plan has agreed to that in particular. Partitions are never
// changed: a call's events are kept in order by the partition that its id falls into, and
// with another number of partitions a call that is open would go on in another one.
package topics
