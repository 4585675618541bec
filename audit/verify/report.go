package verify

import (
	"fmt"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// DefaultMaxFindings is how many findings a report lists.
const DefaultMaxFindings = 1000

// Options say what is known beforehand. The zero value knows nothing.
type Options struct {
	// Keys are the verifier keys that the reviewer trusts. Without any, the key
	// that the log itself names is used, and the report says so.
	Keys []seal.Verifier
	// Kept are signed checkpoints (notes) that were kept outside the log.
	Kept []string
	// Witnesses are those whose signatures the reviewer asks for, and WitnessQuorum how
	// many of them have to have signed each log; zero means all.
	Witnesses     []seal.WitnessKey
	WitnessQuorum int
	// Closed says that no broker is running: a call left open is a finding.
	Closed bool
	// SelfApproval says that people may approve what is done in their own name: it
	// is no finding then, if policy let them.
	SelfApproval bool
	// Tenant that all events must be of. Empty means that of the first record.
	Tenant string
	// SkipPayloads leaves payloads alone.
	SkipPayloads bool
	// SkipStatements leaves the signatures alone by which each call states who makes it.
	// They cost more than all else about a record.
	SkipStatements bool
	// Retention is how long records are kept before a [Trimmed] source may have lost them. A
	// log that has none left, though some were sealed, is complete only if all of them were
	// older than that; zero, which no record is, makes it a finding.
	Retention time.Duration
	// SampleStatements checks the signature of one statement in so many, at random. Zero
	// and one mean all.
	SampleStatements int
	// MaxFindings bounds the findings that are listed. Zero means DefaultMaxFindings.
	MaxFindings int
	// Progress is called now and then with the records checked and those there are.
	Progress func(done, total int64)
}

// Rule names what is wrong. The rules of package calls are findings under their own names.
type Rule string

// The rules beyond those of calls.
const (
	Altered           Rule = "altered"            // a record's bytes are not those that were sealed, or stored
	RootMismatch      Rule = "root_mismatch"      // records since the checkpoint before are not those that were sealed
	Missing           Rule = "missing"            // a record is not there
	OutOfOrder        Rule = "out_of_order"       // a record's index does not follow the one before
	Truncated         Rule = "truncated"          // a checkpoint covers more records than there are
	Forked            Rule = "forked"             // two checkpoints of one size have different roots
	CheckpointOrder   Rule = "checkpoint_order"   // a checkpoint of a smaller tree, or of an older key, than the one before
	BadCheckpoint     Rule = "bad_checkpoint"     // not signed by a key of this log, or not what its event says
	UnknownKey        Rule = "unknown_key"        // a log is sealed by no key that is trusted
	BadRotation       Rule = "bad_rotation"       // a key was replaced without its own signature
	StoredHash        Rule = "stored_hash"        // a stored hash does not fit the records, which are as sealed
	Unparsable        Rule = "unparsable"         // a record is no event
	Misrouted         Rule = "misrouted"          // an event stands in another log than it says
	DuplicateID       Rule = "duplicate_id"       // two events with one id
	UnknownSource     Rule = "unknown_source"     // written by a replica that never started
	UnknownTenant     Rule = "unknown_tenant"     // of another tenant
	WrongTopic        Rule = "wrong_topic"        // an event of a type that does not belong into its log
	PayloadMismatch   Rule = "payload_mismatch"   // a payload is not what its event commits to
	PayloadMissing    Rule = "payload_missing"    // a payload is neither there nor erased
	Unreadable        Rule = "unreadable"         // the source could not be read
	Envelope          Rule = "envelope"           // attributes that repeat other parties, or another expiry, than the call has
	SelfApproval      Rule = "self_approval"      // a person approved what is done in their own name
	BadGrant          Rule = "bad_grant"          // approved in advance by no grant, or by one that does not cover the call
	UnknownPolicy     Rule = "unknown_policy"     // decided by policies that were never put in force
	WrongCount        Rule = "wrong_count"        // a decision by less than its policies' counters came to (found by broker/hindsight, which reads policies)
	Unsealed          Rule = "unsealed"           // records that a checkpoint should have covered long since, or in a part that is sealed as a whole
	BadStatement      Rule = "bad_statement"      // a call's statement is signed by no key of the replica that wrote it, or out of its time
	StatementMismatch Rule = "statement_mismatch" // a statement says something else than its call
	UnrecordedErasure Rule = "unrecorded_erasure" // a payload is erased, and nothing on record says so
	ErasedUnderHold   Rule = "erased_under_hold"  // a payload is erased that a legal hold kept
	BadMove           Rule = "bad_move"           // the log before this one did not end as the event says
	BadRemoval        Rule = "bad_removal"        // records were removed by retention otherwise than the event says
	BadStatementKey   Rule = "bad_statement_key"  // a key was announced that the log's own does not vouch for
	BadWitness        Rule = "bad_witness"        // a signature in the name of a witness that is not its own
	Unwitnessed       Rule = "unwitnessed"        // records that too few of the witnesses have signed
	CheckpointAbsent  Rule = "checkpoint_absent"  // a checkpoint kept elsewhere does not fit this log
)

// MismatchPrefix is before the rules of [audit.Mismatch]: what a record's message says
// otherwise than its event does.
const MismatchPrefix Rule = "mismatch_"

// Finding is one thing that no honest broker, log or keeper can have left.
type Finding struct {
	Rule     Rule           `json:"rule"`
	Where    audit.Position `json:"where"` // the record; the first of several
	Expected string         `json:"expected,omitempty"`
	Found    string         `json:"found,omitempty"`
	CallID   string         `json:"call_id,omitempty"`
}

// String is the finding as one line.
func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s", f.Where, f.Rule)
	if f.CallID != "" {
		s += " (call " + f.CallID + ")"
	}
	if f.Expected != "" {
		s += ": expected " + f.Expected
	}
	if f.Found != "" {
		s += ": found " + f.Found
	}
	return s
}

// LogReport is what was found of one log.
type LogReport struct {
	Log            string    `json:"log"`
	From           int64     `json:"from,omitempty"`     // the first record, of a log that is there in part
	Size           int64     `json:"size"`               // records
	Root           string    `json:"root"`               // of all records, base64; empty if some are missing
	Removed        int64     `json:"removed,omitempty"`  // records that retention has removed, on record
	Archived       int64     `json:"archived,omitempty"` // records that it has removed and that were read from archives
	Sealed         int64     `json:"sealed"`
	Unsealed       int64     `json:"unsealed"` // records after the last checkpoint
	Checkpoints    int64     `json:"checkpoints"`
	LastCheckpoint time.Time `json:"last_checkpoint,omitzero"`
	Witnessed      int64     `json:"witnessed,omitempty"` // records that enough of the witnesses asked for have signed
	LastWitnessed  time.Time `json:"last_witnessed,omitzero"`
}

// Ended is how a log ended that goes on in another, as its last checkpoint says.
type Ended struct {
	Log  string `json:"log"`
	Size int64  `json:"size"`
	Root string `json:"root"` // base64
}

// Report is the verdict on a history.
type Report struct {
	Logs     []LogReport     `json:"logs"` // by name
	Keys     []seal.Verifier `json:"keys"` // that signed, the first one first
	KeyGiven bool            `json:"key_given"`
	Tenant   string          `json:"tenant"`

	Moved []Ended `json:"moved,omitempty"` // the logs that this history goes on from

	Records     int64 `json:"records"`
	Calls       int64 `json:"calls"`
	OpenCalls   int64 `json:"open_calls"`
	Payloads    int64 `json:"payloads"`            // that are what their events commit to
	Erased      int64 `json:"erased"`              // payloads
	Lost        int64 `json:"lost"`                // payloads whose writers died before the log acknowledged them
	Unerased    int64 `json:"unerased"`            // payloads that are there, and erased on record
	Statements  int64 `json:"statements"`          // of who makes a call, that hold
	Unsampled   int64 `json:"unsampled,omitempty"` // statements that were left out of a sample
	Withheld    int64 `json:"withheld"`            // payloads
	Checkpoints int64 `json:"checkpoints"`

	Findings []Finding     `json:"findings"`
	Omitted  int64         `json:"omitted"` // findings that are not listed
	Notes    []string      `json:"notes"`   // what a reviewer has to know besides
	Duration time.Duration `json:"duration"`
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 && r.Omitted == 0 }
