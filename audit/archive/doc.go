// Package archive keeps the sealed records of a period apart from the log that wrote
// them, in a directory or an object store, so that they can be verified and read years
// later by whoever has a public key.
//
// An archive is an evidence pack (package pack) as separate files, of which those of
// records are compressed by Zstandard:
//
//	README.md                        what this is
//	logs/payments/calls.ndjson.zst   a record a line: exactly its stored bytes, the Merkle leaf
//	logs/deed/control.ndjson.zst     keys, policies, tools: always from the beginning
//	logs/deed/checkpoints.ndjson.zst the signed checkpoints that cover all of this
//	payloads/…                       policies and definitions
//	manifest.json                    which records of which log, and what its tree grows on from; written last
//
// Arguments and results are not in it, so that erasing one has nothing to look for here.
// A broker makes archives of what it is about to remove (see package audit, RecordsRemoved).
// [VerifyJoined] proves them together with what is left of the log.
//
// [Create] reads what it wrote back and verifies it before it says that it is there.
package archive
