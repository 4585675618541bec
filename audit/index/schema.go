package index

// The file's identity: "Deex" in ASCII, and the version of the tables below. A
// change of the tables, or of what is put into them, is a new version: the
// file is then built again.
const (
	applicationID = 0x44656578
	schemaVersion = 1
)

// The rows of calls are numbered in the order in which the log opened them: that
// is the order of every page, newest first.
//
//   - facets say what a call can be found by, and do not change once written.
//   - words is the full text, by number of call. It keeps no copy of the text.
//   - tally counts calls by agent, so that nobody has to count them again.
//   - events.before is the cursor from which the log yields the event.
//   - place is one row: how far the log was read.
var schema = [...]string{
	`CREATE TABLE calls (
		n INTEGER PRIMARY KEY,
		id TEXT NOT NULL UNIQUE,
		domain TEXT NOT NULL,
		tool TEXT NOT NULL,
		state TEXT NOT NULL,
		outcome TEXT NOT NULL,
		opened INTEGER NOT NULL,
		closed INTEGER NOT NULL,
		folded BLOB NOT NULL
	) STRICT`,
	`CREATE INDEX calls_by_time ON calls (opened, n)`,
	`CREATE INDEX calls_by_state ON calls (state, n)`,
	`CREATE INDEX calls_by_outcome ON calls (outcome, n)`,
	`CREATE TABLE facets (
		kind TEXT NOT NULL, value TEXT NOT NULL, call INTEGER NOT NULL,
		PRIMARY KEY (kind, value, call)
	) STRICT, WITHOUT ROWID`,
	`CREATE TABLE events (
		call INTEGER NOT NULL, seq INTEGER NOT NULL,
		log TEXT NOT NULL, idx INTEGER NOT NULL, before TEXT NOT NULL,
		id TEXT NOT NULL, type TEXT NOT NULL, time INTEGER NOT NULL, source TEXT NOT NULL,
		counted INTEGER NOT NULL, finding TEXT NOT NULL,
		PRIMARY KEY (call, seq)
	) STRICT, WITHOUT ROWID`,
	`CREATE TABLE tally (
		agent TEXT NOT NULL, domain TEXT NOT NULL, principal TEXT NOT NULL, tool TEXT NOT NULL, outcome TEXT NOT NULL,
		calls INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
		PRIMARY KEY (agent, domain, principal, tool, outcome)
	) STRICT, WITHOUT ROWID`,
	`CREATE VIRTUAL TABLE words USING fts5(
		text, content='', contentless_delete=1, tokenize="unicode61 remove_diacritics 2 tokenchars '_-.@'"
	)`,
	`INSERT INTO words(words, rank) VALUES('secure-delete', 1)`,
	`CREATE TABLE place (
		one INTEGER PRIMARY KEY CHECK (one = 1),
		cursor TEXT NOT NULL, records INTEGER NOT NULL, newest INTEGER NOT NULL,
		before TEXT NOT NULL, last TEXT NOT NULL, digest BLOB NOT NULL
	) STRICT`,
	`INSERT INTO place VALUES (1, '', 0, 0, '', '', x'')`,
}

// Kinds of facets.
const (
	facetPerson   = "person"
	facetAgent    = "agent"
	facetTool     = "tool"
	facetUpstream = "upstream"
	facetPolicy   = "policy"
	facetVoter    = "voter"
	facetTrace    = "trace"
)
