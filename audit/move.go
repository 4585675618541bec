package audit

// LogMoved stands in control, twice: as the last event of a log that ends, and in the log
// that goes on from it.
const LogMoved Type = "dev.deed.control.log-moved.v1" // data: Move

// Move says that a history goes on in another log. What was written before stays where it
// was, byte for byte, and is proved by the last checkpoints that were signed of it.
type Move struct {
	To      string     `json:"to,omitempty"`      // in the log that ends: where it goes on
	Logs    []MovedLog `json:"logs,omitempty"`    // in the log that goes on: what was before it
	Archive string     `json:"archive,omitempty"` // where the records of those are
}

// MovedLog is a log as it was when it ended.
type MovedLog struct {
	Log  string `json:"log"`
	Size int64  `json:"size"`
	Note string `json:"note"` // its last checkpoint, signed
}
