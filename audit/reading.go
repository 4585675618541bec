package audit

// HistoryRead says that somebody looked at what calls were made with, or what they
// answered. It stands in control.
const HistoryRead Type = "dev.deed.control.read.v1" // data: Reading

// What a [Reading] was of.
const (
	ReadCall   = "call"   // its arguments and results were shown
	ReadSearch = "search" // calls were looked for by what was in them
)

// Reading is one look. The same look again within a few minutes is not recorded again.
type Reading struct {
	What string   `json:"what"`
	Call string   `json:"call,omitempty"`
	For  string   `json:"for,omitempty"` // what was looked for, as the query of the API says it; cut where it is long
	By   Identity `json:"by"`
}
