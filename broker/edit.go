package broker

import (
	"context"
	"slices"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/statement"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/broker/redact"
	"github.com/deedbroker/deed/tools"
)

// Edit is one person's change of a held call's arguments, and their approval of it.
type Edit struct {
	Identity  *agents.Identity // must be a person
	CallID    string
	Digest    string // the call digest that the person was shown
	Shown     string // digest of the sentence that the person was shown; empty where none was
	Arguments []byte // JSON, as the call is to run
	Reason    string // reaches the agent
}

// vote is the approval that the edit is for its editor.
func (e Edit) vote() Vote {
	return Vote{Identity: e.Identity, CallID: e.CallID, Verdict: audit.Approve, Digest: e.Digest, Shown: e.Shown, Reason: e.Reason}
}

// Edit replaces the arguments of a held call. Policy is asked about the call as it
// would run then, and has to allow or to hold it. Approvals so far count no more; the
// editor's own is cast with the edit, and somebody else's is needed beside it.
//
// It returns the call with its new digest. It fails as [Broker.Vote] does, and with
// Invalid where the arguments do not fit the tool.
func (b *Broker) Edit(ctx context.Context, e Edit) (calls.Call, error) {
	op := "edit " + clip(e.CallID, 64)
	h, c, d, err := b.ballot(ctx, op, e.vote())
	if err != nil {
		return c, err
	}
	if err := votable(op, c, e.vote()); err != nil {
		return c, err
	}
	shown, err := b.shown(ctx, op, h, c, e.Shown)
	if err != nil {
		return c, err
	}
	stored, edit, err := b.edited(op, c, e)
	if err != nil {
		return c, err
	}
	edit.By, edit.Reason, edit.Permission, edit.Shown = recorded(e.Identity), clip(e.Reason, maxReason), d, shown
	where := b.aboutCall(c)
	where.statement = b.signed(statement.Edited(b.cfg.Tenant, c.ID, &c.Intent, edit, time.Now()))
	made, err := b.event(audit.CallEdited, where, edit, stored)
	if err == nil {
		err = b.append(ctx, made)
	}
	if err != nil {
		return c, &Error{
			Kind: LogUnavailable, Op: op, CallID: c.ID, Err: err, Retry: 5 * time.Second,
			Public: "the edit could not be recorded; look at the call again before trying once more",
		}
	}
	c = b.counted(ctx, h, func(c calls.Call) bool { return c.Digest() != e.Digest })
	if !slices.ContainsFunc(c.Edits, func(e calls.Edit) bool { return e.ID == made.ID }) { // something else came first in the log
		if err := votable(op, c, e.vote()); err != nil {
			return c, err
		}
	}
	return b.weighed(ctx, h), nil
}

// edited are the new arguments, and what policy says of the call with them.
func (b *Broker) edited(op string, c calls.Call, e Edit) (audit.Payload, audit.Edit, error) {
	fail := func(k Kind, public string, err error) (audit.Payload, audit.Edit, error) {
		return audit.Payload{}, audit.Edit{}, &Error{Kind: k, Op: op, CallID: c.ID, Public: public, Err: err}
	}
	t := b.unchanged(c)
	if t == nil {
		return fail(Conflict, "the tool is no longer what it was when it was called", nil)
	}
	args, err := tools.ParseArguments(e.Arguments)
	if err == nil {
		err = t.Validate(args)
	}
	if err != nil {
		return fail(Invalid, err.Error(), err)
	}
	if c.Intent.Redacted != nil {
		return fail(Conflict, "arguments that are partly redacted ("+redact.Words(c.Intent.Redacted)+") cannot be changed by one who does not see them: deny the call, and say how it should be", nil)
	}
	if r, err := b.rules(c.Domain).Arguments(args.Canonical); err != nil || r.Redacted != nil {
		return fail(Invalid, "these arguments would be redacted ("+redact.Words(r.Redacted)+"), so that nobody could see what was approved", err)
	}
	d, err := b.decide("", t, args, c.Intent.Identity, policy.Approvals{})
	if err != nil {
		r := refusalOfPolicy(err)
		return fail(r.kind, r.public, err)
	}
	if d.Effect == audit.Deny {
		return fail(Denied, "with these arguments the call would be denied: "+denialText(d), nil)
	}
	stored := audit.NewPayload(audit.PayloadArguments, args.Canonical)
	intent := c.Intent
	intent.Arguments = stored.Commitment()
	edit := audit.Edit{Previous: e.Digest, Arguments: intent.Arguments, Digest: audit.CallDigest(intent), Decision: d}
	return stored, edit, nil
}

// whatRan tells the caller of an edited call what ran in place of what was asked for.
func (b *Broker) whatRan(ctx context.Context, c calls.Call) *Edited {
	if len(c.Edits) == 0 {
		return nil
	}
	last := c.Edits[len(c.Edits)-1]
	told := &Edited{By: last.By.Principal, Reason: last.Reason}
	if args, err := b.committed(ctx, last.Arguments, last.At); err == nil && len(args) <= maxTold {
		told.Arguments = args
	}
	return told
}

// maxTold bounds the arguments that an agent is told of an edited call, in bytes.
const maxTold = 16 << 10
