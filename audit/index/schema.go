package index

// The file's identity: "Deex" in ASCII, and the version of the tables below. A
// change of the tables, or of what is put into them, is a new version: the
// file is then built again.
const (
	applicationID = 0x44656578
	schemaVersion = 5
)

// The rows of calls are numbered in the order in which the log opened them: that
// is the order of every page, newest first.
//
//   - calls.folded is what the events of a call came to, and calls.events is where they stand.
//   - words finds calls by number: it has the words of a call, and a token for each of
//     its facets. It keeps no copy of them. Its tokens are made in Go (see [document]).
//   - vocabulary are the words themselves, and spans when calls were opened: see [spanKey].
//   - tally counts calls by agent, so that nobody has to count them again.
//   - pulse counts what happened by the minute and by the hour: see [beatsOf].
//   - precedents counts held calls by what became of them.
//   - place is one row: how far the log was read.
var schema = [...]string{
	`CREATE TABLE calls (
		n INTEGER PRIMARY KEY,
		id TEXT NOT NULL UNIQUE,
		tool TEXT NOT NULL,
		opened INTEGER NOT NULL,
		folded BLOB NOT NULL,
		events BLOB NOT NULL
	) STRICT`,
	`CREATE INDEX calls_by_time ON calls (opened, n)`,
	`CREATE TABLE tally (
		agent TEXT NOT NULL, domain TEXT NOT NULL, principal TEXT NOT NULL, tool TEXT NOT NULL, outcome TEXT NOT NULL,
		calls INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		PRIMARY KEY (agent, domain, principal, tool, outcome)
	) STRICT, WITHOUT ROWID`,
	`CREATE TABLE pulse (
		unit INTEGER NOT NULL, bucket INTEGER NOT NULL, domain TEXT NOT NULL, kind TEXT NOT NULL, n INTEGER NOT NULL,
		PRIMARY KEY (unit, bucket, domain, kind)
	) STRICT, WITHOUT ROWID`,
	`CREATE TABLE precedents (
		principal TEXT NOT NULL, agent TEXT NOT NULL, tool TEXT NOT NULL, domain TEXT NOT NULL, day INTEGER NOT NULL, fate TEXT NOT NULL,
		calls INTEGER NOT NULL,
		PRIMARY KEY (principal, agent, tool, domain, day, fate)
	) STRICT, WITHOUT ROWID`,
	`CREATE VIRTUAL TABLE words USING fts5(
		text, content='', contentless_delete=1, detail=none, tokenize="ascii tokenchars '` + joiners + facetMark + argumentMark + `'"
	)`,
	`CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, 'instance')`,
	`CREATE TABLE spans (
		unit INTEGER NOT NULL, bucket INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		PRIMARY KEY (unit, bucket)
	) STRICT, WITHOUT ROWID`,
	`INSERT INTO words(words, rank) VALUES('secure-delete', 1)`,
	`CREATE TABLE place (
		one INTEGER PRIMARY KEY CHECK (one = 1),
		cursor TEXT NOT NULL, records INTEGER NOT NULL, newest INTEGER NOT NULL,
		before TEXT NOT NULL, last TEXT NOT NULL, digest BLOB NOT NULL
	) STRICT`,
	`INSERT INTO place VALUES (1, '', 0, 0, '', '', x'')`,
}
