package audit

import "time"

// Identity is who called, as the token said and the broker verified it.
type Identity struct {
	Issuer    string    `json:"issuer"`
	Principal string    `json:"principal,omitempty"` // the human; empty when an agent acts on its own
	Chain     []Actor   `json:"chain,omitempty"`     // who acts, the current actor first (RFC 8693 section 4.1)
	Roles     []string  `json:"roles,omitempty"`     // of the principal
	Scopes    []string  `json:"scopes,omitempty"`
	ACR       string    `json:"acr,omitempty"`
	Session   string    `json:"sid,omitempty"`
	TokenID   string    `json:"jti,omitempty"`
	KeyID     string    `json:"kid,omitempty"` // of the key that signed the token
	Token     string    `json:"token"`         // hex SHA-256 of the token
	Issued    time.Time `json:"issued,omitzero"`
	Expires   time.Time `json:"expires"`
}

// Actor is one link of a delegation chain.
type Actor struct {
	ID         string   `json:"id"`
	Roles      []string `json:"roles,omitempty"`
	Registered bool     `json:"registered,omitempty"` // the broker's configuration named it
}

// Intent is what is about to be done: written, and acknowledged, before it is.
type Intent struct {
	Tool           string     `json:"tool"`       // upstream.tool
	Definition     string     `json:"definition"` // hex SHA-256 of the tool's definition as its upstream gave it
	Arguments      Commitment `json:"arguments"`
	Digest         string     `json:"digest"` // the call digest: what an approval binds to, see CallDigest
	Identity       Identity   `json:"identity"`
	Decision       Decision   `json:"decision"`
	Client         string     `json:"client,omitempty"`   // what the client calls itself, unverified
	Protocol       string     `json:"protocol,omitempty"` // MCP revision
	IdempotencyKey string     `json:"idempotency_key,omitempty"`
	TaskUntil      time.Time  `json:"task_until,omitzero"` // it is a task: its outcome can be asked for until then
	// Justification is why the agent says that it makes the call. Nobody has verified it, and
	// the call digest knows nothing of it.
	Justification *Commitment `json:"justification,omitempty"`
	Redacted      *Redaction  `json:"redacted,omitempty"` // what of the arguments is not on record
	Secrets       []Matched   `json:"secrets,omitempty"`  // that were found in them, or in the justification
	Statement     string      `json:"-"`                  // stands in the envelope of each event of the call
}

// Effect is what a decision comes to.
type Effect string

// The effects. A hold is a denial that approvals would lift.
const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
	Hold  Effect = "hold"
)

// Decision is what policy said at one moment, with every policy that determined it.
type Decision struct {
	Effect    Effect   `json:"effect"`
	PolicySet string   `json:"policy_set"` // hex SHA-256 of the active policies
	Reasons   []Reason `json:"reasons,omitempty"`
	Errors    []string `json:"errors,omitempty"` // of policies that failed to evaluate; any of them denies
	// Of a hold: whom it waits for, and until when.
	Approvers []string   `json:"approvers,omitempty"`
	Expires   *time.Time `json:"expires,omitempty"`
	Recent    *Recent    `json:"recent,omitempty"` // what it was decided by of earlier calls
	Shadow    *Shadow    `json:"shadow,omitempty"` // what a draft of the policies would have decided
	// StepUp is, of what a person may not do, how they would have to log in (acr) to be let.
	StepUp string `json:"step_up,omitempty"`
}

// Shadow is what a draft of the policies would have decided; it changed nothing. Reasons
// are there if it would have been something else, the first of them.
type Shadow struct {
	PolicySet string   `json:"policy_set"` // hex SHA-256 of the draft
	Effect    Effect   `json:"effect"`
	Reasons   []Reason `json:"reasons,omitempty"`
	Errors    []string `json:"errors,omitempty"`
}

// Recent is what a decision knew of the calls before it. Whoever reads the log up to
// these records can count again; what the replica had permitted itself and not yet
// read back is in the values too.
type Recent struct {
	Values []Counted  `json:"values,omitempty"` // of the counters, if policies of the tool look at them
	Adds   []Counted  `json:"adds,omitempty"`   // what the call adds to counters, if it is permitted
	At     []Position `json:"at,omitempty"`     // the last records that were counted, one a log
}

// Counted is a number that belongs to a counter of the policies.
type Counted struct {
	Counter string `json:"counter"`
	Sum     string `json:"sum,omitempty"` // of what a call adds: the argument that is summed
	N       int64  `json:"n"`
}

// Reason is one policy that determined a decision.
type Reason struct {
	Policy string `json:"policy"`           // its @id, or file and number
	Effect string `json:"effect"`           // permit or forbid; none where no policy permits
	Link   string `json:"link,omitempty"`   // the link of the chain that it spoke about: User::"alice"
	Text   string `json:"reason,omitempty"` // its @reason
}

// Verdict is one person's answer to a held call.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "approve"
	Reject  Verdict = "deny"
)

// Shown is the sentence in which a call was put to a person who decided on it.
type Shown struct {
	Template string `json:"template"` // its version
	// Digest is over the sentence and the call digest. Of form 2 it is the hex
	// HMAC-SHA-256 under the salt of the arguments that were shown: once they are erased
	// nobody can guess what the sentence was. Of form 1, which is left out, and was written before, it
	// is the hex SHA-256.
	Digest string `json:"digest"`
	Form   int    `json:"form,omitempty"`
}

// ShownSalted is the form of [Shown] that is written.
const ShownSalted = 2

// Approval is one person's yes to a held call. Their no closes it: [CallDenied], with By set.
type Approval struct {
	Digest   string   `json:"digest"` // the call digest that the person decided on
	By       Identity `json:"by"`
	Reason   string   `json:"reason,omitempty"`
	Decision Decision `json:"decision"` // that let this person vote
	Shown    *Shown   `json:"shown,omitempty"`
	Grant    string   `json:"grant,omitempty"` // the grant that it is a use of: By made that, and is not asked again
}

// Edit replaces the arguments of a held call, and is its editor's approval of the new
// ones. Approvals of the old ones count no more, and somebody else has to approve
// the new ones too. Payload "arguments" holds them.
type Edit struct {
	Previous   string     `json:"previous"`  // the call digest that the person was shown
	Arguments  Commitment `json:"arguments"` // as the call will run
	Digest     string     `json:"digest"`    // the call digest from here on
	By         Identity   `json:"by"`
	Reason     string     `json:"reason,omitempty"`
	Shown      *Shown     `json:"shown,omitempty"` // of the call as it was
	Permission Decision   `json:"permission"`      // that let this person decide on the call
	Decision   Decision   `json:"decision"`        // on the new arguments: hold, or allow
}

// Release lifts a hold. The first release of a call, in the order of its log, is
// the one that counts: whoever wrote it runs the call.
type Release struct {
	Decision  Decision `json:"decision"`  // the policy of this moment, with the approvals counted
	Approvals []string `json:"approvals"` // ids of the approval events that it used up
	Digest    string   `json:"digest"`
}

// Outcome closes a call. The first closing event of a call counts.
type Outcome struct {
	Code     string      `json:"code"`               // one of the codes below
	Reason   string      `json:"reason,omitempty"`   // in words, for the agent
	Output   *Commitment `json:"output,omitempty"`   // what the tool answered
	Redacted *Redaction  `json:"redacted,omitempty"` // what of that is not on record
	Secrets  []Matched   `json:"secrets,omitempty"`  // that were found in it
	Millis   float64     `json:"duration_ms,omitempty"`
	Decision *Decision   `json:"decision,omitempty"` // that denied it
	By       *Identity   `json:"by,omitempty"`       // the person who denied or cancelled it
	Shown    *Shown      `json:"shown,omitempty"`    // to that person
	// Credential is what the upstream was shown, by reference.
	Credential *Credential `json:"credential,omitempty"`
	// Request is set when the call was refused before it could become an intent:
	// the denial is then the first and only event of its call.
	Request *Intent `json:"request,omitempty"`
}

// Credential names what the broker showed an upstream, and never says it.
type Credential struct {
	Source  string    `json:"source"` // such as vault://kv/data/crm#key
	Version string    `json:"version,omitempty"`
	Lease   string    `json:"lease,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Codes of an [Outcome], by the type of its event.
const (
	CodeOK = "ok" // result

	CodeToolError     = "tool_error"     // failed: the tool answered with an error
	CodeCredential    = "no_credential"  //nolint:gosec // failed: there was no credential to show the upstream: nothing was done
	CodeUpstreamError = "upstream_error" // failed: the upstream refused, or was not reached: nothing was done

	CodeUnanswered = "unanswered" // failed: the tool asked its caller something, and got no answer

	CodePolicy           = "policy"            // denied by a policy
	CodeApprover         = "approver"          // denied by a person
	CodeInvalidArguments = "invalid_arguments" // denied: they do not fit the tool's input schema
	CodeUnknownTool      = "unknown_tool"      // denied: there is no such tool
	CodeQuarantined      = "quarantined"       // denied: the tool awaits review
	// CodeInsufficientScope is denied: the token lacks scopes that the tool needs.
	CodeInsufficientScope = "insufficient_scope"
	CodeOverloaded        = "overloaded" // denied: a limit was reached
	CodeKeyReused         = "key_reused" // denied: its idempotency key is that of a call with other arguments
	// CodeUnreconciled is denied, or cancelled: a call with the same effect has an
	// outcome that is not known, and that nobody has reconciled.
	CodeUnreconciled = "unreconciled"
	CodeRevoked      = "revoked" // denied: the caller was revoked

	CodeExpired = "expired" // expired: nobody decided in time

	CodeClient         = "client"           // cancelled by the agent, or unknown: it may have acted by then
	CodeChanged        = "changed"          // cancelled: the tool, or what policy says, changed while it was held
	CodeErased         = "arguments_erased" // cancelled: the arguments to run with are gone
	CodeUnacknowledged = "unacknowledged"   // cancelled, not executed: its intent's acknowledgement came too late
	CodeRevokedUnrun   = "revoked_unrun"    // cancelled: the caller, or who approved, was revoked before it ran
	CodeRepeated       = "repeated"         // cancelled, not executed: it repeats a call that another replica took at the same time
	CodeShutdown       = "shutdown"         // cancelled, not executed: the broker stopped first

	CodeTimeout        = "timeout"         // unknown: the tool did not answer in time
	CodeUpstream       = "upstream"        // unknown: the upstream died while it ran
	CodeRevokedRunning = "revoked_running" // unknown: the caller was revoked while the tool ran, which was told to stop
	CodeCrash          = "crash"           // unknown: the broker died between the act and its record
)

// Reconciliation is a person's finding about a call that was closed as unknown.
type Reconciliation struct {
	Happened bool     `json:"happened"`
	By       Identity `json:"by"`
	Note     string   `json:"note,omitempty"`
}

// Started says that a replica opened the log.
type Started struct {
	Version string `json:"version"`
	Key     string `json:"key"` // the verifier key of its checkpoints, see package seal
}

// Activation says which policies are in force from here on. Payload "policy" holds their text.
type Activation struct {
	PolicySet string     `json:"policy_set"`
	Files     []string   `json:"files"`
	Text      Commitment `json:"text"`
}

// Pin says that a tool's definition was reviewed, or trusted at first sight; or, if there
// is a finding, that it was seen and has to be reviewed first. Payload "definition" holds it.
type Pin struct {
	Tool       string     `json:"tool"`
	Definition string     `json:"definition"`
	Text       Commitment `json:"text"`
	Previous   string     `json:"previous,omitempty"` // digest of the definition that was trusted before
	Finding    string     `json:"finding,omitempty"`  // why the tool is in quarantine
	By         *Identity  `json:"by,omitempty"`       // the person who reviewed it
}

// Rotation hands signing over from the key whose checkpoints stand before it. The old key signs the statement.
type Rotation struct {
	Old  string `json:"old"`
	New  string `json:"new"`
	Note string `json:"note"` // a signed note by the old key over the new one

	Reason   string    `json:"reason,omitempty"`
	By       *Identity `json:"by,omitempty"`       // the person who asked for it; none where it was the key's age
	Decision *Decision `json:"decision,omitempty"` // that permitted it
}

// Rejection samples tokens that were not accepted. Nothing of it is verified but Identity.
type Rejection struct {
	Kind   string `json:"kind"`
	Issuer string `json:"issuer,omitempty"` // only of configured issuers
	Count  int64  `json:"count"`            // how many of this kind since the last sample
	// Of tokens that verify and whose bearer was revoked: by which event, and the bearer of the latest.
	Revocation string    `json:"revocation,omitempty"`
	Identity   *Identity `json:"identity,omitempty"`
}

// Checkpoint is a signed statement of a log's size and root hash.
type Checkpoint struct {
	Log  string `json:"log"`
	Size int64  `json:"size"`
	Note string `json:"note"` // C2SP tlog-checkpoint, a signed note
	// Witnessed is a checkpoint of the same log, this one or one before, with the
	// signatures of witnesses (C2SP tlog-cosignature), which came later.
	Witnessed string `json:"witnessed,omitempty"`
	// Frontier are the roots of the complete subtrees, the largest first, in base64:
	// what the tree grows on from when retention has removed its first records. The
	// root that the note signs is made of them.
	Frontier []string `json:"frontier,omitempty"`
}
