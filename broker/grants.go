package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/grants"
	"github.com/deedbroker/deed/broker/policy"
)

// Bounds of grants that are in force at once.
const (
	maxGrants         = 10_000
	maxGrantsByPerson = 200
	// keepGrants is how long a grant can be looked at after its end.
	keepGrants = 7 * 24 * time.Hour
)

// GrantRequest asks for a grant of calls like one that is held.
type GrantRequest struct {
	Identity *agents.Identity // must be a person who may approve the call
	CallID   string
	Digest   string // the call digest that the person was shown
	Where    []audit.Condition
	Uses     int
	Until    time.Time
	Reason   string
}

// Grant records a person's approval, in advance, of so many calls like a held one,
// and uses it for that call first, then for others that are held. It fails as [Broker.Vote] does, with Denied also
// where policy does not let the person grant what they may approve, and with Invalid
// where the grant would not cover the call that it is made from.
func (b *Broker) Grant(ctx context.Context, r GrantRequest) (grants.Grant, error) {
	op := "grant calls like " + clip(r.CallID, 64)
	vote := Vote{Identity: r.Identity, CallID: r.CallID, Verdict: audit.Approve, Digest: r.Digest}
	h, c, _, err := b.ballot(ctx, op, vote)
	if err != nil {
		return grants.Grant{}, err
	}
	d := b.permits(r.Identity, policy.ActionGrant, resourceOf(c))
	if d.Effect != audit.Allow {
		return grants.Grant{}, b.refuseControl(ctx, r.Identity, policy.ActionGrant, c.Intent.Tool, d)
	}
	if err := votable(op, c, vote); err != nil {
		return grants.Grant{}, err
	}
	data := grantOf(c, r, d)
	if err := b.grantable(ctx, op, h, c, data); err != nil {
		return grants.Grant{}, err
	}
	e, err := b.event(audit.GrantMade, control(), data)
	if err == nil {
		err = b.append(ctx, e)
	}
	if err != nil {
		return grants.Grant{}, notRecorded(op, "grant", err)
	}
	b.awaitFold(ctx, b.granted.wait, func() bool { _, known := b.granted.book.Get(e.ID); return known })
	b.work.Go(func() {
		b.useGrants(b.live, h)
		for _, open := range b.holds.list() {
			b.useGrants(b.live, open)
		}
	})
	return grants.Grant{Grant: data, ID: e.ID, Made: e.Time}, nil
}

func grantOf(c calls.Call, r GrantRequest, d audit.Decision) audit.Grant {
	g := audit.Grant{
		Call: c.ID, Domain: c.Domain, Tool: c.Intent.Tool, Definition: c.Intent.Definition,
		Issuer: c.Intent.Identity.Issuer, Principal: c.Intent.Identity.Principal,
		Where: r.Where, Uses: r.Uses, Until: r.Until.UTC(), Reason: clip(r.Reason, maxReason), By: recorded(r.Identity), Decision: d,
	}
	for _, a := range c.Intent.Identity.Chain {
		g.Chain = append(g.Chain, a.ID)
	}
	return g
}

// grantable says why a grant cannot be made.
func (b *Broker) grantable(ctx context.Context, op string, h *hold, c calls.Call, g audit.Grant) error {
	fail := func(k Kind, public string) error { return &Error{Kind: k, Op: op, CallID: c.ID, Public: public} }
	if err := grants.Validate(g, time.Now()); err != nil {
		return fail(Invalid, err.Error())
	}
	if len(c.Edits) > 0 {
		return fail(Conflict, "the call's arguments were edited: a grant is of what an agent asks for")
	}
	args, err := b.canonical(ctx, h, c)
	if err != nil {
		return &Error{Kind: Internal, Op: op, CallID: c.ID, Err: err, Public: "the call's arguments cannot be read"}
	}
	if !(grants.Grant{Grant: g}).Covers(c.Intent, args) {
		return fail(Invalid, "the call itself does not fulfil these conditions")
	}
	mine, all := 0, b.granted.book.All()
	for _, have := range all {
		if have.By.Issuer == g.By.Issuer && have.By.Principal == g.By.Principal && have.Left(time.Now()) > 0 {
			mine++
		}
	}
	if len(all) >= maxGrants || mine >= maxGrantsByPerson {
		return fail(Overloaded, fmt.Sprintf("too many grants are in force (%d are yours): take some back", mine))
	}
	return nil
}

// EndGrant takes a grant back, for who made it or for whom policy would let make it.
// What it was used for already stays approved.
func (b *Broker) EndGrant(ctx context.Context, by *agents.Identity, id, reason string) error {
	op := "take back grant"
	if err := known(op, by); err != nil {
		return err
	}
	g, ok := b.granted.book.Get(id)
	foreign := ok && !b.seesGrant(by, g)
	if foreign {
		b.Reject(ctx, agents.Foreign(by))
	}
	if !ok || foreign {
		return &Error{Kind: NotFound, Op: op, Public: "no grant has this id"}
	}
	d := b.permits(by, policy.ActionGrant, resourceOfGrant(g))
	if !madeBy(g, by) && d.Effect != audit.Allow {
		return b.refuseControl(ctx, by, "take back", "a grant of "+g.Tool, d)
	}
	if g.Ended != nil {
		return &Error{Kind: Conflict, Op: op, Public: "it was taken back already, by " + g.Ended.By.Principal}
	}
	end := audit.GrantEnd{Grant: id, By: recorded(by), Reason: clip(reason, maxReason), Decision: d}
	if err := b.write(ctx, audit.GrantEnded, control(), end); err != nil {
		return notRecorded(op, "end of the grant", err)
	}
	b.awaitFold(ctx, b.granted.wait, func() bool { g, ok := b.granted.book.Get(id); return !ok || g.Ended != nil })
	return nil
}

// Grants lists the grants that the viewer made, or of calls that they may read, the latest first.
func (b *Broker) Grants(viewer *agents.Identity) []grants.Grant {
	var list []grants.Grant
	for _, g := range b.granted.book.All() {
		if b.seesGrant(viewer, g) {
			list = append(list, g)
		}
	}
	return list
}

func (b *Broker) seesGrant(viewer *agents.Identity, g grants.Grant) bool {
	return madeBy(g, viewer) || b.permits(viewer, policy.ActionRead, resourceOfGrant(g)).Effect == audit.Allow
}

func madeBy(g grants.Grant, who *agents.Identity) bool {
	return who.Person() && g.By.Issuer == who.Issuer && g.By.Principal == who.Principal
}

func resourceOfGrant(g grants.Grant) policy.Resource {
	return policy.OnCall{ID: g.Call, Tool: g.Tool, Domain: g.Domain, Principal: g.Principal, Agents: g.Chain}
}

// useGrants casts the approvals that were given in advance for a call that is held, as
// far as they are needed: those that their makers could still give now.
func (b *Broker) useGrants(ctx context.Context, h *hold) {
	c, _ := h.snapshot()
	if c.State != calls.Held || len(c.Edits) > 0 || b.granted.book.Len() == 0 {
		return
	}
	args, err := b.canonical(ctx, h, c)
	if err != nil {
		return // erased, or not to be read: people decide
	}
	for _, g := range b.granted.book.Covering(c.Intent, args, time.Now()) {
		if c.State != calls.Held || ctx.Err() != nil {
			return
		}
		if err := b.useGrant(ctx, h, c, g); err != nil {
			b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "grant not used",
				slog.String("call_id", c.ID), slog.String("grant", g.ID), slog.Any("error", err))
		}
		c = b.weighed(ctx, h)
	}
}

func (b *Broker) useGrant(ctx context.Context, h *hold, c calls.Call, g grants.Grant) error {
	if _, voted := c.VoteOf(g.By.Issuer, g.By.Principal); voted {
		return nil
	}
	who := verified(g.By)
	d := b.mayVote(who, c)
	if d.Effect != audit.Allow || b.permits(who, policy.ActionGrant, resourceOf(c)).Effect != audit.Allow {
		return nil // the grant stands, and is not enough any more
	}
	use := audit.GrantUse{Grant: g.ID, CallID: c.ID, Digest: c.Digest()}
	if err := b.write(ctx, audit.GrantUsed, control(), use); err != nil {
		return err
	}
	counts := func() bool { now, _ := b.granted.book.Get(g.ID); return now.UsedFor(c.ID, use.Digest) }
	b.awaitFold(ctx, b.granted.wait, func() bool { now, ok := b.granted.book.Get(g.ID); return !ok || now.Left(time.Now()) == 0 || counts() })
	if !counts() {
		return nil // others were first
	}
	vote := audit.Approval{Digest: use.Digest, By: g.By, Reason: strings.TrimSpace(g.Reason), Decision: d, Grant: g.ID}
	if _, err := b.writeAbout(ctx, c, audit.CallApproval, vote); err != nil {
		return err
	}
	b.counted(ctx, h, func(c calls.Call) bool { _, voted := c.VoteOf(g.By.Issuer, g.By.Principal); return voted })
	return nil
}
