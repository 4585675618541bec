package embedded

import "github.com/deedbroker/deed/audit"

// The file's identity: "Deed" in ASCII, and the version of the tables below.
const (
	applicationID = 0x44656564
	schemaVersion = 1
)

// The rows of records and payloads only ever grow at the end, so that storing an
// event touches the last page of each table.
//
//   - records.seq counts all records of the file from 1 without a gap: it is what
//     a cursor holds. idx counts those of one log from 0.
//     A record that retention has removed has an empty body.
//   - records.hashes is what the record completes in its tree: its own hash, then
//     one node for each level that it fills, 32 bytes each.
//   - payloads.id is seq*16 plus the payload's place in its event, which makes a
//     record's payloads neighbours without a second index. A payload whose salt
//     is NULL was erased.
var schema = [...]string{
	`CREATE TABLE logs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT`,
	`CREATE TABLE records (
		seq INTEGER PRIMARY KEY,
		log INTEGER NOT NULL,
		idx INTEGER NOT NULL,
		body BLOB NOT NULL,
		hashes BLOB NOT NULL
	) STRICT`,
	`CREATE UNIQUE INDEX records_by_log ON records (log, idx)`,
	`CREATE TABLE payloads (
		id INTEGER PRIMARY KEY,
		name TEXT NOT NULL,
		mediatype TEXT NOT NULL,
		salt BLOB,
		body BLOB
	) STRICT`,
}

// payloadID is the row of the n-th payload of the record with this seq.
func payloadID(seq int64, n int) int64 { return seq*audit.MaxPayloads + int64(n) }
