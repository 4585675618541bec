package denylist

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents"
)

// Kind says what an entry stops.
type Kind string

// The kinds of entry.
const (
	Agent     Kind = "agent"     // wherever it acts, at whatever place of a chain
	Principal Kind = "principal" // a person, and whoever acts for them
	Token     Kind = "token"     // one token, by its digest or jti
	Session   Kind = "session"   // what one login led to, by sid: exchanged tokens too
	Chain     Kind = "chain"     // agents acting for a person, and those they delegate to
	Key       Kind = "key"       // whatever a key of an issuer has signed, by kid
)

// Kinds are all kinds of entry.
func Kinds() []Kind { return []Kind{Agent, Principal, Token, Session, Chain, Key} }

// Bounds of an entry.
const (
	maxName  = 512 // bytes of a name
	maxChain = 16  // agents of a chain
)

// Entry stops whoever it names.
type Entry struct {
	ID     string // of its event
	Kind   Kind
	Issuer string // exactly as in iss; empty: any
	// Value is an agent or a principal as identities have them, the hex SHA-256 or the
	// jti of a token, a sid, or a kid. Of a chain it is the principal.
	Value  string
	Agents []string // of a chain, the current actor first

	IssuedBefore time.Time // only tokens issued before then; zero: all
	Until        time.Time // zero: until it is lifted
	Reason       string    // for people
}

// Validate says what is wrong with an entry, in words for whoever wrote it.
func (e Entry) Validate() error {
	switch {
	case !slices.Contains(Kinds(), e.Kind):
		return fmt.Errorf("%.32q cannot be revoked; what can is agent, principal, token, session, chain and key", e.Kind)
	case !name(e.Value):
		return fmt.Errorf("the %s is missing, or is no name of at most %d bytes", e.Kind, maxName)
	case e.Issuer != "" && !name(e.Issuer):
		return errors.New("the issuer is no URL")
	case e.Kind == Chain && (len(e.Agents) == 0 || len(e.Agents) > maxChain || !all(e.Agents, name)):
		return fmt.Errorf("a chain is a principal and 1 to %d agents", maxChain)
	case e.Kind != Chain && len(e.Agents) > 0:
		return fmt.Errorf("a %s has no agents beside it", e.Kind)
	case e.Kind == Key && e.Issuer == "":
		return errors.New("a key is revoked of one issuer: name it, since others may use the same kid")
	case !e.Until.IsZero() && !e.IssuedBefore.IsZero() && e.Until.Before(e.IssuedBefore):
		return errors.New("it would end before it begins")
	}
	return nil
}

// IsDigest reports whether a token is named by its hex SHA-256.
func IsDigest(value string) bool {
	b, err := hex.DecodeString(value)
	return err == nil && len(b) == 32
}

// Stops reports whether the entry is about id. Its end is not looked at.
func (e Entry) Stops(id *agents.Identity) bool {
	if e.Issuer != "" && e.Issuer != id.Issuer || !e.IssuedBefore.IsZero() && !id.IssuedAt.Before(e.IssuedBefore) {
		return false
	}
	switch e.Kind {
	case Agent:
		return slices.ContainsFunc(id.Chain, func(a agents.Actor) bool { return a.ID == e.Value })
	case Principal:
		return id.Principal == e.Value
	case Token:
		return id.TokenDigest == e.Value || id.TokenID == e.Value
	case Session:
		return id.Session == e.Value
	case Key:
		return id.KeyID == e.Value
	case Chain:
		return id.Principal == e.Value && ends(id.Chain, e.Agents)
	default:
		return false
	}
}

// Barred reports whether it stops a caller rather than one of their credentials.
func (e Entry) Barred() bool {
	return e.IssuedBefore.IsZero() && (e.Kind == Agent || e.Kind == Principal || e.Kind == Chain)
}

// String is what is stopped, in words.
func (e Entry) String() string {
	if e.Kind == Chain {
		delegated := slices.Clone(e.Agents)
		slices.Reverse(delegated)
		return "chain " + e.Value + " → " + strings.Join(delegated, " → ")
	}
	return string(e.Kind) + " " + e.Value
}

// over reports whether its end has come.
func (e Entry) over(now time.Time) bool { return !e.Until.IsZero() && !now.Before(e.Until) }

// same reports whether e stops no more, and no longer, than o does.
func (e Entry) same(o Entry) bool {
	return e.Kind == o.Kind && e.Issuer == o.Issuer && e.Value == o.Value && slices.Equal(e.Agents, o.Agents) &&
		(o.IssuedBefore.IsZero() || !e.IssuedBefore.IsZero() && !e.IssuedBefore.After(o.IssuedBefore)) &&
		(o.Until.IsZero() || !e.Until.IsZero() && !e.Until.After(o.Until))
}

// ends reports whether a chain ends in these agents: whoever stands before them acts
// by their delegation.
func ends(chain []agents.Actor, last []string) bool {
	if len(last) == 0 || len(chain) < len(last) {
		return false
	}
	for i, a := range chain[len(chain)-len(last):] {
		if a.ID != last[i] {
			return false
		}
	}
	return true
}

func name(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func all(list []string, is func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !is(s) })
}
