// Package pulsar is the log of many brokers: Apache Pulsar holds the records, and its
// acknowledgement is what makes an intent durable.
//
// # Topics
//
// A tenant of Deed is a tenant of Pulsar, a domain a namespace. What stands where:
//
//	persistent://{tenant}/{domain}/calls       events of calls, by call id; deduplication on, partitions as created
//	persistent://{tenant}/{domain}/payloads    what the events commit to, encrypted; deduplication off, partitions as created
//	persistent://{tenant}/{domain}/keys        what the payloads are encrypted with; deduplication off, no partitions, retention 0
//	persistent://{tenant}/deed/control         events of no call; deduplication on, no partitions; as are the next two
//	persistent://{tenant}/deed/rejections
//	persistent://{tenant}/deed/checkpoints
//
// [Open] creates none of them and changes no policy: `deed topics apply` does. It
// refuses to run on topics that are not there, or where deduplication is not as above:
// without it a retried event could be stored twice; with it Pulsar loses some of the
// batches in which payloads are sent.
//
// Every partition is a log and a Merkle tree of its own: payments/calls/2, or
// payments/calls where the topic has no partitions. A record's index is the index
// that Pulsar gives the message (0, 1, 2 … in each partition; the brokers must expose
// it, see [audit.Position]). It stays when retention removes older messages: reading
// then begins at a higher index.
//
// # Writing
//
// One producer for each replica and partition, called as the events' source,
// deed://tenant/replica: Pulsar lets nobody else use the name at the same time. It
// sends each event alone, without a time limit, and sends it again after a lost
// connection, which deduplication makes exactly once. Every message carries the
// envelope of its event as properties, and a run (one life of the producer) with a
// number that counts up from 0 in it, so that a reader sees what is missing.
//
// Payloads of several events travel in one message where they come faster than Pulsar
// acknowledges them (see packer).
//
// Checkpoints, and keys, are written by one replica at a time, which has the only producer
// of their topic. Its turn ends with its connection: what was under way then is given up,
// and not sent when its turn comes again, after what others have written (see inTurn).
//
// [Log.Store] sends event and payloads at the same time and returns when both are
// acknowledged; [Log.Append] also waits until the event was read back, which tells its
// index. Neither waits longer than its context: then the error is
// [audit.ErrUncertain], and the event may appear later. When acknowledgements stay
// away, further events are refused at once.
//
// # Reading
//
// One reader for each partition, the tail, follows everything that anybody writes. It
// checks every message ([audit.Record.Mismatches]), extends the tree of its partition
// and gives the newest records to all who follow. Whoever is further behind has
// readers of their own until they have caught up. A [audit.Cursor] has a place in
// every partition, and means the same to every replica.
//
// The trees' hashes are kept in files below Options.Dir. They may be deleted: they are
// made again from the topics.
//
// # Payloads
//
// Each payload has a key of its own. The keys of one replica's life and domain are the
// leaves of a tree that grows from one secret (Goldreich, Goldwasser, Micali 1986),
// which stands in the topic keys; so does, after an erasure, not the secret but what
// all other keys can still be made from. [Log.Erase] replaces it, and then makes Pulsar
// forget the old one, which needs a role that administers the tenant.
package pulsar
