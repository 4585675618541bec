package calls

import (
	"slices"

	"github.com/deedbroker/deed/audit"
)

// Edit is a change of a held call's arguments that counts.
type Edit struct {
	Mark
	audit.Edit
	Statement string // of who makes the call with these arguments, and whose they are
}

// Statement is the one that events of the call carry from here on.
func (c *Call) Statement() string {
	if n := len(c.Edits); n > 0 {
		return c.Edits[n-1].Statement
	}
	return c.Intent.Statement
}

// Digest is what an approval binds to: the call digest with the arguments as they are now.
func (c *Call) Digest() string {
	if n := len(c.Edits); n > 0 {
		return c.Edits[n-1].Digest
	}
	return c.Intent.Digest
}

// Arguments are what runs, and the event that they stand beside.
func (c *Call) Arguments() (audit.Commitment, audit.Position) {
	if n := len(c.Edits); n > 0 {
		return c.Edits[n-1].Arguments, c.Edits[n-1].At
	}
	return c.Intent.Arguments, c.Opening.At
}

// Decision is what policy said of the call with its arguments as they are now.
func (c *Call) Decision() audit.Decision {
	if n := len(c.Edits); n > 0 {
		return c.Edits[n-1].Decision
	}
	return c.Intent.Decision
}

// Approvers are the roles that the call waits for. An edit that needs no approval by
// policy waits for those that the call waited for before.
func (c *Call) Approvers() []string {
	if d := c.Decision(); d.Effect == audit.Hold {
		return d.Approvers
	}
	return c.Intent.Decision.Approvers
}

// EditedBy reports whether a person chose the arguments as they are now. Their own
// approval alone does not release the call.
func (c *Call) EditedBy(who audit.Identity) bool {
	n := len(c.Edits)
	return n > 0 && c.Edits[n-1].By.Issuer == who.Issuer && c.Edits[n-1].By.Principal == who.Principal
}

// replaced reports whether digest is of arguments that the call had before an edit.
func (c *Call) replaced(digest string) bool {
	return slices.ContainsFunc(c.Edits, func(e Edit) bool { return e.Previous == digest })
}

// edit replaces the arguments. Of two edits of the same arguments the first counts.
func (c *Call) edit(e audit.Event, m Mark) (bool, error) {
	v, err := decode[audit.Edit](c, e)
	if err != nil {
		return false, err
	}
	edited := c.Intent
	edited.Arguments = v.Arguments
	switch want := audit.CallDigest(edited); {
	case v.By.Principal == "" || len(v.By.Chain) > 0:
		return false, c.broken(NotAPerson, "edit %s was made by %q through %d actors", e.ID, v.By.Principal, len(v.By.Chain))
	case v.Digest != want:
		return false, c.broken(DigestMismatch, "edit %s says %s, its arguments come to %s", e.ID, v.Digest, want)
	case v.Permission.Effect != audit.Allow || v.Decision.Effect == audit.Deny:
		return false, c.broken(NotPermitted, "edit %s was not permitted to its editor, or by policy", e.ID)
	case expired(e, v.By):
		return false, c.broken(ExpiredToken, "edit %s of %s, token expired at %s", e.ID, e.Time, v.By.Expires)
	case c.Intent.Decision.Effect != audit.Hold:
		return false, c.broken(NotPermitted, "edit %s of a call that was not held", e.ID)
	case c.replaced(v.Previous) || c.State != Held: // something else came first
		return false, nil
	case v.Previous != c.Digest():
		return false, c.broken(DigestMismatch, "edit %s is of %s, the call is %s", e.ID, v.Previous, c.Digest())
	}
	c.Edits = append(slices.Clip(c.Edits), Edit{Mark: m, Edit: v, Statement: e.Statement})
	c.Votes = []Vote{{Mark: m, Approval: audit.Approval{Digest: v.Digest, By: v.By, Reason: v.Reason, Decision: v.Permission}}}
	return true, nil
}
