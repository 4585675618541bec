package statement

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Lifetime is how long after a call was made, or after its hold ends, its statement
// may be acted on: as long as a call can take.
const Lifetime = 10 * time.Minute

// maxActors bounds a chain that is read.
const maxActors = 16

// Claims are what a statement says.
type Claims struct {
	Issuer   string  `json:"iss"`
	Audience string  `json:"aud"`
	IssuedAt int64   `json:"iat"`
	Expires  int64   `json:"exp"`
	Call     string  `json:"txn"`
	Subject  string  `json:"sub"`
	Actor    *Actor  `json:"act,omitempty"`
	Workload string  `json:"req_wl"`
	Tool     string  `json:"scope"`
	Context  Context `json:"tctx"`
}

// Actor is who acts, and for which actor in turn.
type Actor struct {
	Subject string `json:"sub"`
	Actor   *Actor `json:"act,omitempty"`
}

// Context is what stays the same during a call.
type Context struct {
	Arguments string `json:"args,omitempty"`   // hex SHA-256 of salt and arguments
	Asked     string `json:"asked,omitempty"`  // the same of those that were asked for, where a person has edited them
	Editor    string `json:"editor,omitempty"` // that person
	Issuer    string `json:"idp"`
	Person    bool   `json:"person"` // a person stands behind it: sub is theirs
}

// Domain is the trust domain of a tenant: issuer and audience of its statements.
func Domain(tenant string) string { return "deed://" + tenant }

// Of is what is stated of a call that is made now.
func Of(tenant, callID string, in *audit.Intent, now time.Time) Claims {
	end := now
	if d := in.Decision.Expires; d != nil && d.After(end) {
		end = *d
	}
	c := Claims{
		Issuer: Domain(tenant), Audience: Domain(tenant), IssuedAt: now.Unix(), Expires: end.Add(Lifetime).Unix(),
		Call: callID, Tool: in.Tool, Context: Context{Arguments: in.Arguments.Digest, Issuer: in.Identity.Issuer, Person: in.Identity.Principal != ""},
	}
	c.Subject, c.Actor, c.Workload = parties(in.Identity)
	return c
}

// Edited is what is stated of a call whose arguments a person has just replaced.
func Edited(tenant, callID string, in *audit.Intent, e audit.Edit, now time.Time) Claims {
	c := Of(tenant, callID, in, now)
	c.Context.Asked, c.Context.Arguments, c.Context.Editor = c.Context.Arguments, e.Arguments.Digest, e.By.Principal
	return c
}

// parties are subject, actors and requester of an identity.
func parties(id audit.Identity) (subject string, actor *Actor, workload string) {
	for _, a := range slices.Backward(id.Chain) {
		actor = &Actor{Subject: a.ID, Actor: actor}
	}
	subject, workload = id.Principal, id.Principal
	if len(id.Chain) > 0 {
		workload = id.Chain[0].ID
	}
	if subject == "" { // an agent on its own, or for another agent
		subject = workload
	}
	return subject, actor, workload
}

// Chain are the actors, the current one first.
func (c Claims) Chain() []string {
	var chain []string
	for a := c.Actor; a != nil; a = a.Actor {
		chain = append(chain, a.Subject)
	}
	return chain
}

// Current says why a statement may not be acted on now, in the trust domain of a tenant.
func (c Claims) Current(tenant string, now time.Time) error {
	switch {
	case c.Issuer != Domain(tenant) || c.Audience != Domain(tenant):
		return fmt.Errorf("check statement: it is of %.200q for %.200q, not of %q", c.Issuer, c.Audience, Domain(tenant))
	case !now.Before(time.Unix(c.Expires, 0)):
		return errors.New("check statement: it has expired")
	case now.Add(time.Minute).Before(time.Unix(c.IssuedAt, 0)):
		return errors.New("check statement: it was made in the future")
	}
	return nil
}

// Tolerance is how far the clock may be, in [Claims.Fits], between a statement and its event.
const Tolerance = 2 * time.Minute

// Fits says how a statement differs from what [Of] or [Edited] would state of the event that
// it stands with; nil if it says the same.
func (c Claims) Fits(want Claims) error {
	differs := func(what, said, is string) error {
		return fmt.Errorf("its statement says %s %.200q, the event %.200q", what, said, is)
	}
	switch {
	case c.Issuer != want.Issuer || c.Audience != want.Audience:
		return differs("tenant", c.Issuer, want.Issuer)
	case c.Call != want.Call:
		return differs("call", c.Call, want.Call)
	case c.Subject != want.Subject || c.Context.Person != want.Context.Person:
		return differs("subject", c.Subject, want.Subject)
	case !slices.Equal(c.Chain(), want.Chain()):
		return fmt.Errorf("its statement says the actors %.200q, the event %.200q", c.Chain(), want.Chain())
	case c.Workload != want.Workload:
		return differs("requester", c.Workload, want.Workload)
	case c.Tool != want.Tool:
		return differs("tool", c.Tool, want.Tool)
	case c.Context.Arguments != want.Context.Arguments:
		return differs("arguments", c.Context.Arguments, want.Context.Arguments)
	case c.Context.Asked != want.Context.Asked:
		return differs("arguments that were asked for", c.Context.Asked, want.Context.Asked)
	case c.Context.Editor != want.Context.Editor:
		return differs("editor", c.Context.Editor, want.Context.Editor)
	case c.Context.Issuer != want.Context.Issuer:
		return differs("issuer of the token", c.Context.Issuer, want.Context.Issuer)
	}
	if off := time.Duration(want.IssuedAt-c.IssuedAt) * time.Second; off > Tolerance || off < -Tolerance {
		return fmt.Errorf("its statement was made %s away from the event", off.Abs())
	}
	return nil
}

func (c Claims) depth() int {
	n := 0
	for a := c.Actor; a != nil && n <= maxActors; a = a.Actor {
		n++
	}
	return n
}
