package httpapi

import (
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/broker/sentence"
)

// CallSummary is a call in a list.
type CallSummary struct {
	CallID     string    `json:"call_id"`
	Tool       string    `json:"tool"`
	Domain     string    `json:"domain"`
	Principal  string    `json:"principal"` // empty when an agent acts on its own
	Actor      string    `json:"actor"`     // empty for a person's own call
	Chain      []string  `json:"chain"`     // all actors, the current one first
	State      string    `json:"state"`     // running, held, released or closed
	Outcome    string    `json:"outcome,omitempty"`
	Code       string    `json:"code,omitempty"`
	Reason     string    `json:"reason,omitempty"` // why it ended so, in words
	Opened     time.Time `json:"opened"`
	Closed     time.Time `json:"closed,omitzero"`
	DurationMS float64   `json:"duration_ms,omitzero"` // how long the tool ran
	Policies   []string  `json:"policies"`             // that determined whether it was permitted
	Effect     string    `json:"effect,omitempty"`     // allow, deny or hold
	Approvers  []string  `json:"approvers"`            // the roles that the hold waits for
	Votes      []Vote    `json:"votes"`
	Expires    time.Time `json:"expires,omitzero"`  // of the hold
	Trace      string    `json:"trace,omitempty"`   // W3C traceparent
	Session    string    `json:"session,omitempty"` // of the caller at the identity provider
}

// Vote is an approval that counts.
type Vote struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
	Grant  string    `json:"grant,omitempty"` // given in advance, by this grant
}

// Edit is a change of a held call's arguments by one who decides on it.
type Edit struct {
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Reason   string    `json:"reason,omitempty"`
	Previous string    `json:"previous"` // the digest before it
	Digest   string    `json:"digest"`   // the digest after it
}

// Sentence is a call in words: the operator's, with arguments of the call in between.
type Sentence struct {
	Parts    []sentence.Part `json:"parts"`
	Template string          `json:"template"` // version of the operator's words; plain if there are none
	Digest   string          `json:"digest"`   // goes with a vote, as what was shown
}

// HeldCall is a call that waits for people, with everything that they decide on.
type HeldCall struct {
	CallSummary

	Digest          string         `json:"digest"`     // what an approval binds to
	Definition      string         `json:"definition"` // digest of the tool's definition
	Arguments       jsontext.Value `json:"arguments,omitempty"`
	ArgumentsErased bool           `json:"arguments_erased"`
	Asked           jsontext.Value `json:"asked,omitempty"` // as its caller made them, if they were edited
	Edits           []Edit         `json:"edits"`
	Sentence        *Sentence      `json:"sentence,omitempty"`
	Tier            string         `json:"tier"`     // how much is shown: metadata, arguments or results
	MayRead         string         `json:"may_read"` // the most that this viewer may be shown, as policy says
	Withheld        Withheld       `json:"withheld"`
	Redacted        Redacted       `json:"redacted"` // what is not on record, for nobody to see
	Secrets         Secrets        `json:"secrets"`  // that were found, by the rules that found them
	Reasons         []audit.Reason `json:"reasons"`
	MayVote         bool           `json:"may_vote"` // this viewer, now
	WhyNot          string         `json:"why_not,omitempty"`
	DryRun          bool           `json:"dry_run,omitempty"` // POST …/dry-run tells this viewer what it would change
	StepUp          string         `json:"step_up,omitempty"` // how this viewer would have to log in (acr) to decide
	Client          string         `json:"client,omitempty"`  // what the client calls itself

	Justification string      `json:"justification,omitempty"` // why the agent says that it makes the call; nobody has verified it
	Annotations   Annotations `json:"annotations"`
	Quorum        Quorum      `json:"quorum"`
	Precedents    *Precedents `json:"precedents,omitempty"` // while the call is held
	Alike         string      `json:"alike"`                // the same for held calls that can be decided together
}

// CallDetail is all that is known of a call.
type CallDetail struct {
	HeldCall

	Output     jsontext.Value  `json:"output,omitempty"` // a raw MCP CallToolResult
	Erased     Erased          `json:"erased"`
	OnRecord   Proofs          `json:"on_record"`
	Shown      []Shown         `json:"shown"`  // to those whose votes count, while there are the arguments
	Events     []CallEvent     `json:"events"` // in the order of the log
	Reconciled *Reconciliation `json:"reconciled,omitempty"`
}

// Redacted says, of a call's arguments and of its answer, how many values are not on record,
// by the rule that keeps them off it.
type Redacted struct {
	Arguments []audit.Matched `json:"arguments"`
	Output    []audit.Matched `json:"output"`
}

func matches(r *audit.Redaction) []audit.Matched {
	if r == nil {
		return []audit.Matched{}
	}
	return append([]audit.Matched{}, r.Fields...)
}

// Secrets are those that were found in a call's arguments or justification, and in its
// answer: how many by each rule. Unless they are redacted they are on record.
type Secrets struct {
	Arguments []audit.Matched `json:"arguments"`
	Output    []audit.Matched `json:"output"`
}

// Erased says which payloads were there and are gone; their commitments stand.
type Erased struct {
	Arguments bool `json:"arguments"`
	Output    bool `json:"output"`
}

// CallEvent is one event of a call as it is stored.
type CallEvent struct {
	Position string         `json:"position"` // payments/calls@17
	Cursor   string         `json:"cursor"`   // the stream goes on after it from here
	Event    jsontext.Value `json:"event"`
}

// Reconciliation is what a person found out about a call that ended as unknown.
type Reconciliation struct {
	Happened bool   `json:"happened"`
	By       string `json:"by"`
	Note     string `json:"note,omitempty"`
}

// outcomes of a closed call, by the event that closed it.
const (
	outcomeResult    = "result"
	outcomeFailed    = "failed"
	outcomeDenied    = "denied"
	outcomeExpired   = "expired"
	outcomeCancelled = "cancelled"
	outcomeUnknown   = "unknown"
)

func outcomeOf(t audit.Type) string {
	switch t {
	case audit.CallResult:
		return outcomeResult
	case audit.CallFailed:
		return outcomeFailed
	case audit.CallDenied:
		return outcomeDenied
	case audit.CallExpired:
		return outcomeExpired
	case audit.CallCancelled:
		return outcomeCancelled
	case audit.CallUnknown:
		return outcomeUnknown
	case audit.CallIntent, audit.CallApproval, audit.CallVoteRefused, audit.CallEdited, audit.CallReleased, audit.CallReconciled,
		audit.ReplicaStarted, audit.PolicyActivated, audit.ToolPinned, audit.KeyRotated, audit.TokenRejected, audit.TreeSigned,
		audit.CallerRevoked, audit.RevocationLifted, audit.ControlRefused, audit.HistoryRead, audit.PayloadsErased, audit.RecordsRemoved, audit.LogMoved:
		return "" // closes nothing
	default:
		return ""
	}
}

// codesOf are the codes that an outcome can have; nil for no outcome.
func codesOf(outcome string) []string {
	switch outcome {
	case outcomeResult:
		return []string{audit.CodeOK}
	case outcomeFailed:
		return []string{audit.CodeToolError, audit.CodeCredential, audit.CodeUpstreamError}
	case outcomeDenied:
		return []string{
			audit.CodePolicy, audit.CodeApprover, audit.CodeInvalidArguments, audit.CodeUnknownTool, audit.CodeInsufficientScope,
			audit.CodeQuarantined, audit.CodeOverloaded, audit.CodeRevoked, audit.CodeKeyReused, audit.CodeUnreconciled,
		}
	case outcomeExpired:
		return []string{audit.CodeExpired}
	case outcomeCancelled:
		return []string{
			audit.CodeClient, audit.CodeChanged, audit.CodeErased, audit.CodeUnacknowledged, audit.CodeShutdown, audit.CodeRevokedUnrun,
			audit.CodeUnreconciled, audit.CodeRepeated,
		}
	case outcomeUnknown:
		return []string{audit.CodeTimeout, audit.CodeUpstream, audit.CodeCrash, audit.CodeRevokedRunning, audit.CodeClient}
	default:
		return nil
	}
}

// summarize is a call as lists show it.
func summarize(c calls.Call) CallSummary {
	d := decisionOf(c)
	s := CallSummary{
		CallID: c.ID, Tool: c.Intent.Tool, Domain: c.Domain, Principal: c.Intent.Identity.Principal, Chain: []string{},
		State: c.State.String(), Outcome: outcomeOf(c.Closing.Type), Code: c.Outcome.Code, Reason: c.Outcome.Reason,
		Opened: utc(c.Opening.Time), Closed: utc(c.Closing.Time), DurationMS: c.Outcome.Millis,
		Policies: []string{}, Effect: string(d.Effect), Approvers: append([]string{}, c.Approvers()...),
		Votes: []Vote{}, Expires: utc(c.Deadline()), Trace: c.Opening.Trace,
		Session: c.Intent.Identity.Session,
	}
	for _, a := range c.Intent.Identity.Chain {
		s.Chain = append(s.Chain, a.ID)
	}
	if len(s.Chain) > 0 {
		s.Actor = s.Chain[0]
	}
	for _, r := range d.Reasons {
		if r.Policy != "" && !slices.Contains(s.Policies, r.Policy) {
			s.Policies = append(s.Policies, r.Policy)
		}
	}
	for _, v := range c.Votes {
		s.Votes = append(s.Votes, Vote{By: v.By.Principal, At: utc(v.Time), Reason: v.Reason, Grant: v.Grant})
	}
	return s
}

// decisionOf is what policy said of the call when it was made.
func decisionOf(c calls.Call) audit.Decision {
	if c.Intent.Decision.Effect == "" && c.Outcome.Decision != nil {
		return *c.Outcome.Decision
	}
	return c.Intent.Decision
}

// describe is a call with what people decide on, but for its arguments.
func describe(c calls.Call) HeldCall {
	edits := make([]Edit, len(c.Edits))
	for i, e := range c.Edits {
		edits[i] = Edit{By: e.By.Principal, At: utc(e.Time), Reason: e.Reason, Previous: e.Previous, Digest: e.Digest}
	}
	return HeldCall{
		Edits: edits,

		CallSummary: summarize(c), Digest: c.Digest(), Definition: c.Intent.Definition,
		Reasons: append([]audit.Reason{}, decisionOf(c).Reasons...), Client: c.Intent.Client,
		Redacted: Redacted{Arguments: matches(c.Intent.Redacted), Output: matches(c.Outcome.Redacted)},
		Secrets:  Secrets{Arguments: append([]audit.Matched{}, c.Intent.Secrets...), Output: append([]audit.Matched{}, c.Outcome.Secrets...)},
		Alike:    alikeKey(c), Quorum: quorumOf(broker.HeldCall{Call: c}),
	}
}

// held is a held call as the broker shows it to one viewer.
func held(h broker.HeldCall) HeldCall {
	v := describe(h.Call)
	v.show(h.Reads, lesser(h.Reads, policy.TierArguments), false)
	v.ArgumentsErased = h.Arguments == nil && h.Reads.Covers(policy.TierArguments)
	v.put(h, policy.Tier(v.Tier))
	return v
}

// put adds what the broker says of a held call to one who may decide on it, up to a tier.
func (v *HeldCall) put(h broker.HeldCall, shown policy.Tier) {
	v.MayVote, v.WhyNot, v.StepUp, v.DryRun = h.MayVote, h.WhyNot, h.StepUp, h.DryRun
	v.Annotations, v.Quorum = annotationsOf(h.Annotations), quorumOf(h)
	if shown.Covers(policy.TierArguments) {
		v.Arguments, v.Asked, v.Sentence = jsontext.Value(h.Arguments), jsontext.Value(h.Asked), sentenceOf(h)
		v.Justification = h.Justification
	}
}

func sentenceOf(h broker.HeldCall) *Sentence {
	return &Sentence{Parts: h.Sentence.Parts, Template: h.Sentence.Template, Digest: h.Shown}
}

func reconciliation(r *audit.Reconciliation) *Reconciliation {
	if r == nil {
		return nil
	}
	return &Reconciliation{Happened: r.Happened, By: r.By.Principal, Note: r.Note}
}

// isCallID reports whether s can be the id of a call, so that nothing else is looked up.
func isCallID(s string) bool {
	return len(s) == 36 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != '-'
	})
}
