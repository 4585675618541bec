package grants

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Bounds of a grant.
const (
	MaxConditions = 32
	MaxUses       = 1000
	MaxLife       = 30 * 24 * time.Hour
)

// Grant is a grant and what has become of it.
type Grant struct {
	audit.Grant

	ID    string
	Made  time.Time
	Used  []audit.GrantUse // those that count, in order
	Ended *audit.GrantEnd  // nil unless it was taken back
}

// Left is how often the grant can still be used at a moment.
func (g Grant) Left(now time.Time) int {
	if g.Ended != nil || now.After(g.Until) {
		return 0
	}
	return g.Uses - len(g.Used)
}

// Covers reports whether an intent, with arguments as JSON, is what the grant is for:
// tool, definition, person and agents are the same, and every condition holds. It
// says nothing of time and uses.
func (g Grant) Covers(in audit.Intent, arguments []byte) bool {
	return g.target() == targetOf(in) && holdAll(g.Where, arguments)
}

// UsedFor reports whether a use for this call, as it is with this digest, counts.
func (g Grant) UsedFor(callID, digest string) bool {
	return slices.Contains(g.Used, audit.GrantUse{Grant: g.ID, CallID: callID, Digest: digest})
}

// Validate says what makes a grant unfit to be made at a moment.
func Validate(g audit.Grant, now time.Time) error {
	switch {
	case g.Call == "" || g.Tool == "" || g.Domain == "" || g.Definition == "":
		return errors.New("a grant is made from a call: its id, tool, domain and definition are required")
	case g.By.Principal == "" || len(g.By.Chain) > 0:
		return errors.New("only people make grants")
	case g.Uses < 1 || g.Uses > MaxUses:
		return fmt.Errorf("a grant is for 1 to %d calls", MaxUses)
	case !g.Until.After(now):
		return errors.New("a grant ends in the future")
	case g.Until.After(now.Add(MaxLife)):
		return fmt.Errorf("a grant ends within %d days", int(MaxLife.Hours()/24))
	case len(g.Where) > MaxConditions:
		return fmt.Errorf("a grant has at most %d conditions", MaxConditions)
	}
	for _, c := range g.Where {
		if err := validate(c); err != nil {
			return err
		}
	}
	return nil
}

// target is all that a call must have in common with a grant, but for its arguments.
type target struct{ tool, definition, issuer, principal, chain string }

func (g Grant) target() target {
	return target{g.Tool, g.Definition, g.Issuer, g.Principal, joined(g.Chain)}
}

func targetOf(in audit.Intent) target {
	chain := make([]string, len(in.Identity.Chain))
	for i, a := range in.Identity.Chain {
		chain[i] = a.ID
	}
	return target{in.Tool, in.Definition, in.Identity.Issuer, in.Identity.Principal, joined(chain)}
}

// joined is a chain as one string that no other chain has.
func joined(chain []string) string { return fmt.Sprintf("%q", chain) }
