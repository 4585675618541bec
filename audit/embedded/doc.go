// Package embedded is the log of a single broker: one SQLite file that holds
// records, payloads and tree hashes, and nothing else.
//
// # Durability
//
// One goroutine writes. It takes whatever appends are waiting, stores them in one
// transaction (WAL, synchronous=FULL) and acknowledges them once the commit has
// been synced, so that any number of concurrent callers share one sync. A commit
// that fails leaves the log poisoned: what the file holds is no longer known, so
// it refuses everything until it is opened again, and never retries.
//
// The write-ahead log is begun again after some MiB, so that a commit writes over what
// the disk has already: to sync a file that grows takes half as long again.
//
// # Trees
//
// Every log name ("payments/calls") is a Merkle tree of its own. The hashes that
// record n completes are contiguous in golang.org/x/mod/sumdb/tlog's stored
// order, and stand in the record's own row; any stored hash is found from its
// index alone.
//
// # Following
//
// Who follows the log has what is new from memory, and is woken after a commit: at once
// if somebody may wait for one of its events, a few milliseconds later, with what has
// come by then, if all are [audit.Event.Quiet].
//
// # Removal
//
// What has outlived its retention is removed from the beginning of a log on
// ([Log.Remove]): bodies and payloads go, the hashes stay, so that every proof can
// still be made. Reading passes over what is removed.
//
// # Room
//
// A reserve file keeps some of the disk back. When the disk is full the reserve
// is given up, and what closes calls can still be recorded while new calls are
// refused with [audit.ErrFull], until there is room for the reserve again.
package embedded
