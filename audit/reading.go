package audit

// HistoryRead says that somebody looked at what calls were made with, or what they
// answered. It stands in control.
const HistoryRead Type = "dev.deed.control.read.v1" // data: Reading

// What a [Reading] was of.
const (
	ReadCall   = "call"   // what it was made with was shown, or what it answered
	ReadSearch = "search" // calls were looked for by what was in them, or several shown with their arguments
	// ReadDryRun: an upstream was asked what a held call would change. It is on record before
	// that, each time.
	ReadDryRun   = "dry-run"
	ReadEvidence = "evidence" // a pack of evidence was made
	ReadExport   = "export"   // calls were listed to be written out for another system, without their arguments
	ReadTrial    = "trial"    // policies were asked about a call that nobody made
	ReadReplay   = "replay"   // a draft of the policies was asked about the last calls

	// What is only looked through: one record stands for all of one viewer within a while.
	ReadList    = "list"    // calls or agents were listed, or counted, whatever they were made with
	ReadRecords = "records" // records of a log were fetched as they are stored, without what is apart from them
	ReadStream  = "stream"  // what happens was watched; For says from where on, if not from now
)

// Reading is one look. The same look again within a few minutes is not recorded again.
type Reading struct {
	What string   `json:"what"`
	Tier string   `json:"tier,omitempty"` // how much of them was shown: arguments, or results, which is both; none if nothing beside that they fit
	Call string   `json:"call,omitempty"`
	For  string   `json:"for,omitempty"` // what was looked for, as the query of the API says it, cut where it is long; of a dry run the tool that was called
	By   Identity `json:"by"`
	// Looks is how many times a list or stream was looked at since it was recorded before, if
	// more than once.
	Looks int64 `json:"looks,omitempty"`
}
