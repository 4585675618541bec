package calls

import (
	"github.com/deedbroker/deed/audit"
)

// ran reports whether an event of this type says that the tool may have acted.
func ran(t audit.Type) bool {
	return t == audit.CallResult || t == audit.CallFailed || t == audit.CallUnknown
}

// close ends the call. The first closing event counts; what comes later was honest
// if its writer could not know better, and changes nothing.
func (c *Call) close(e audit.Event, m Mark) (bool, error) {
	out, err := decode[audit.Outcome](c, e)
	switch {
	case err != nil:
		return false, err
	case c.State == Closed:
		return false, c.late(e, out)
	case c.State == Running && e.Source != c.Opening.Source && e.Type != audit.CallUnknown:
		return false, c.broken(NotPermitted, "%s %s by %s, opened by %s", e.Type, e.ID, e.Source, c.Opening.Source)
	case c.State == Held && ran(e.Type):
		return false, c.broken(NotPermitted, "%s %s of a call that was not released", e.Type, e.ID)
	case c.State == Released && e.Source != c.Releasing.Source && ran(e.Type) && e.Type != audit.CallUnknown:
		return false, c.broken(NotPermitted, "%s %s by %s, released by %s", e.Type, e.ID, e.Source, c.Releasing.Source)
	case c.State != Held && (e.Type == audit.CallDenied || e.Type == audit.CallExpired):
		if c.State == Released { // it lost the race against the release
			return false, nil
		}
		return false, c.broken(NotPermitted, "%s %s of a call that was running", e.Type, e.ID)
	case c.State == Released && e.Type == audit.CallCancelled && (e.Source != c.Releasing.Source || out.By != nil):
		return false, nil // the same: only the replica that released the call knows that it did not run, and no caller withdraws it then
	case e.Type == audit.CallExpired && e.Time.Before(c.Deadline()):
		return false, c.broken(Misplaced, "expiry %s of %s, the hold lasts until %s", e.ID, e.Time, c.Deadline())
	case out.By != nil && len(out.By.Chain) > 0 && e.Type == audit.CallDenied:
		return false, c.broken(NotAPerson, "denial %s was cast through %d actors", e.ID, len(out.By.Chain))
	case out.By != nil && expired(e, *out.By):
		return false, c.broken(ExpiredToken, "%s %s of %s, token expired at %s", e.Type, e.ID, e.Time, out.By.Expires)
	}
	c.State, c.Closing, c.Outcome = Closed, m, out
	return true, nil
}

// runner is the replica that may have run the call; none if nothing ever permitted it.
func (c *Call) runner() string {
	switch {
	case c.Releasing.ID != "":
		return c.Releasing.Source
	case c.Opening.Type == audit.CallIntent && c.Intent.Decision.Effect == audit.Allow:
		return c.Opening.Source
	default:
		return ""
	}
}

// late judges an event that would end a call which has ended.
func (c *Call) late(e audit.Event, out audit.Outcome) error {
	runner := c.runner()
	switch {
	case ran(e.Type) && runner == "":
		return c.broken(NotPermitted, "%s %s of a call that was never permitted", e.Type, e.ID)
	case !ran(e.Type) || e.Type == audit.CallUnknown:
		return nil
	case e.Source != runner:
		return c.broken(NotPermitted, "%s %s by %s, which did not run it: %s did", e.Type, e.ID, e.Source, runner)
	case e.Source != c.Closing.Source:
		return nil
	case c.Closing.Type == audit.CallResult || c.Closing.Type == audit.CallFailed:
		// Writing the same end again, after an acknowledgement that was lost, is honest.
		if e.Type != c.Closing.Type || out.Code != c.Outcome.Code || digestOf(out.Output) != digestOf(c.Outcome.Output) {
			return c.broken(TwoOutcomes, "%s %s (%s) after %s %s (%s)", e.Type, e.ID, out.Code, c.Closing.Type, c.Closing.ID, c.Outcome.Code)
		}
	}
	return nil
}

func digestOf(c *audit.Commitment) string {
	if c == nil {
		return ""
	}
	return c.Digest
}
