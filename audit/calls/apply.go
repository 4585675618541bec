package calls

import (
	"fmt"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
)

// tokenSkew is how long after its expiry a token may still have been honoured:
// the broker's tolerance for clocks that differ.
const tokenSkew = 2 * time.Minute

// Rule names a rule of the protocol that an event breaks.
type Rule string

// The rules.
const (
	NoIntent       Rule = "no_intent"       // an event about a call that was never opened
	TwoIntents     Rule = "two_intents"     // a call opened twice
	NotPermitted   Rule = "not_permitted"   // an intent that policy did not permit, or a run without release
	DigestMismatch Rule = "digest_mismatch" // what was approved or released is not what was intended
	NotAPerson     Rule = "not_a_person"    // a vote by an agent, or by nobody
	BadRelease     Rule = "bad_release"     // a release that names approvals which were not cast, or needs none
	NotUnknown     Rule = "not_unknown"     // a reconciliation of a call that is not unknown
	Undecodable    Rule = "undecodable"     // data that does not fit the event's type
	Misplaced      Rule = "misplaced"       // an event in another domain than its call, or of no call
	ExpiredToken   Rule = "expired_token"   // written on the strength of a token that had expired
	LateRelease    Rule = "late_release"    // released after the hold had expired
	TwoOutcomes    Rule = "two_outcomes"    // one run that came to two different ends
	OwnEdit        Rule = "own_edit"        // released on the word of nobody but who edited its arguments
	Unclosed       Rule = "unclosed"        // reported by readers of a whole history: a call left open
)

// Violation is an event that no honest broker writes. The call's state is as it was before.
type Violation struct { //nolint:errname // a finding that readers list, and an error
	Rule   Rule
	CallID string
	Detail string // what was expected and what stands there
}

// Error says which rule is broken, by which call and how.
func (v *Violation) Error() string {
	return fmt.Sprintf("call %s: %s: %s", v.CallID, v.Rule, v.Detail)
}

func (c *Call) broken(r Rule, format string, args ...any) error {
	return &Violation{Rule: r, CallID: c.ID, Detail: fmt.Sprintf(format, args...)}
}

// Apply folds the next event of the call. It reports whether the event counted
// (false: it lost a race, or says nothing new), or a *Violation.
func (c *Call) Apply(e audit.Event, at audit.Position) (bool, error) {
	m := Mark{ID: e.ID, Type: e.Type, Source: e.Source, Time: e.Time, At: at, Trace: e.TraceParent}
	if c.State == None {
		c.ID, c.Domain = e.Subject, e.Domain
		return c.open(e, m)
	}
	if e.Subject != c.ID || e.Domain != c.Domain {
		return false, c.broken(Misplaced, "event %s belongs to call %s in domain %s", e.ID, e.Subject, e.Domain)
	}
	switch e.Type {
	case audit.CallIntent:
		return false, c.broken(TwoIntents, "opened by event %s and again by %s", c.Opening.ID, e.ID)
	case audit.CallApproval:
		return c.vote(e, m)
	case audit.CallVoteRefused:
		return false, nil
	case audit.CallEdited:
		return c.edit(e, m)
	case audit.CallReleased:
		return c.release(e, m)
	case audit.CallReconciled:
		return c.reconcile(e)
	default:
		if e.Type.Closes() {
			return c.close(e, m)
		}
		return false, c.broken(Misplaced, "event type %s is not of a call", e.Type)
	}
}

// expired reports whether an event was written on the strength of a token that had expired.
func expired(e audit.Event, by audit.Identity) bool { return e.Time.After(by.Expires.Add(tokenSkew)) }

func decode[T any](c *Call, e audit.Event) (T, error) {
	v, err := audit.DataOf[T](e)
	if err != nil {
		return v, c.broken(Undecodable, "event %s: %v", e.ID, err)
	}
	return v, nil
}

func (c *Call) open(e audit.Event, m Mark) (bool, error) {
	if e.Type == audit.CallDenied {
		return c.refuse(e, m)
	}
	if e.Type != audit.CallIntent {
		return false, c.broken(NoIntent, "event %s is a %s and comes before any intent", e.ID, e.Type)
	}
	in, err := decode[audit.Intent](c, e)
	if err != nil {
		return false, err
	}
	if want := audit.CallDigest(in); in.Digest != want {
		return false, c.broken(DigestMismatch, "intent says %s, its content comes to %s", in.Digest, want)
	}
	if expired(e, in.Identity) {
		return false, c.broken(ExpiredToken, "intent of %s, token expired at %s", e.Time, in.Identity.Expires)
	}
	switch in.Decision.Effect {
	case audit.Allow:
		c.State = Running
	case audit.Hold:
		if in.Decision.Expires == nil {
			return false, c.broken(NotPermitted, "intent %s is held without an end", e.ID)
		}
		c.State = Held
	case audit.Deny:
		return false, c.broken(NotPermitted, "intent %s was denied by policy", e.ID)
	default:
		return false, c.broken(NotPermitted, "intent %s has the effect %q", e.ID, in.Decision.Effect)
	}
	c.Opening, c.Intent = m, in
	c.Intent.Statement = e.Statement
	return true, nil
}

// refuse opens and closes a call that never became an intent.
func (c *Call) refuse(e audit.Event, m Mark) (bool, error) {
	out, err := decode[audit.Outcome](c, e)
	if err != nil {
		return false, err
	}
	if out.Request == nil {
		return false, c.broken(NoIntent, "denial %s comes before any intent and carries no request", e.ID)
	}
	if want := audit.CallDigest(*out.Request); out.Request.Digest != "" && out.Request.Digest != want {
		return false, c.broken(DigestMismatch, "the request of denial %s says %s, its content comes to %s", e.ID, out.Request.Digest, want)
	}
	c.State, c.Opening, c.Closing, c.Intent, c.Outcome = Closed, m, m, *out.Request, out
	c.Intent.Statement = e.Statement
	return true, nil
}

func (c *Call) vote(e audit.Event, m Mark) (bool, error) {
	v, err := decode[audit.Approval](c, e)
	switch {
	case err != nil:
		return false, err
	case v.By.Principal == "" || len(v.By.Chain) > 0:
		return false, c.broken(NotAPerson, "approval %s was cast by %q through %d actors", e.ID, v.By.Principal, len(v.By.Chain))
	case c.replaced(v.Digest): // the edit came first
		return false, nil
	case v.Digest != c.Digest():
		return false, c.broken(DigestMismatch, "approval %s is for %s, the call is %s", e.ID, v.Digest, c.Digest())
	case v.Decision.Effect != audit.Allow:
		return false, c.broken(NotPermitted, "approval %s was not permitted to its voter", e.ID)
	case v.Grant == "" && expired(e, v.By): // a grant has an end of its own
		return false, c.broken(ExpiredToken, "approval %s of %s, token expired at %s", e.ID, e.Time, v.By.Expires)
	}
	if _, again := c.VoteOf(v.By.Issuer, v.By.Principal); again || c.State != Held {
		return false, nil
	}
	c.Votes = append(c.Votes, Vote{Mark: m, Approval: v})
	return true, nil
}

func (c *Call) release(e audit.Event, m Mark) (bool, error) {
	r, err := decode[audit.Release](c, e)
	switch {
	case err != nil:
		return false, err
	case c.replaced(r.Digest): // the edit came first, whatever came after it
		return false, nil
	case r.Digest != c.Digest():
		return false, c.broken(DigestMismatch, "release %s is for %s, the call is %s", e.ID, r.Digest, c.Digest())
	case r.Decision.Effect != audit.Allow:
		return false, c.broken(NotPermitted, "release %s was not permitted", e.ID)
	case c.State == Running:
		return false, c.broken(BadRelease, "release %s of a call that was not held", e.ID)
	case c.State != Held:
		return false, nil
	case e.Time.After(c.Deadline()):
		return false, c.broken(LateRelease, "release %s of %s, the hold expired at %s", e.ID, e.Time, c.Deadline())
	case len(r.Approvals) == 0:
		return false, c.broken(BadRelease, "release %s names no approvals", e.ID)
	}
	others := false
	for n, id := range r.Approvals {
		if slices.Contains(r.Approvals[:n], id) {
			return false, c.broken(BadRelease, "release %s counts approval %s twice", e.ID, id)
		}
		i := slices.IndexFunc(c.Votes, func(v Vote) bool { return v.ID == id })
		if i < 0 {
			return false, c.broken(BadRelease, "release %s names approval %s, which was not cast before it", e.ID, id)
		}
		others = others || !c.EditedBy(c.Votes[i].By)
	}
	if !others {
		return false, c.broken(OwnEdit, "release %s counts nobody but the editor of the arguments", e.ID)
	}
	c.State, c.Releasing, c.Release = Released, m, r
	return true, nil
}

func (c *Call) reconcile(e audit.Event) (bool, error) {
	r, err := decode[audit.Reconciliation](c, e)
	switch {
	case err != nil:
		return false, err
	case c.State != Closed || c.Closing.Type != audit.CallUnknown:
		return false, c.broken(NotUnknown, "reconciliation %s of a call that is not unknown", e.ID)
	case r.By.Principal == "" || len(r.By.Chain) > 0:
		return false, c.broken(NotAPerson, "reconciliation %s was made by %q through %d actors", e.ID, r.By.Principal, len(r.By.Chain))
	case expired(e, r.By):
		return false, c.broken(ExpiredToken, "reconciliation %s of %s, token expired at %s", e.ID, e.Time, r.By.Expires)
	case c.Reconciled != nil:
		return false, nil
	}
	c.Reconciled = &r
	return true, nil
}
