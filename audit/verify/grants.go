package verify

import (
	"context"
	"fmt"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/grants"
)

// grant reads an event of control about grants.
func (v *verifier) grant(r audit.Record, e audit.Event) {
	if _, err := v.granted.Apply(e); err != nil {
		v.find(Finding{Rule: BadGrant, Where: r.Position, Expected: "a grant that could be made", Found: err.Error()})
	}
}

// granted checks an approval that was given in advance: that the grant was made, by
// who approves here, for such a call, and that this use of it counts.
func (p *protocol) granted(ctx context.Context, r audit.Record, call *calls.Call, vote calls.Vote) {
	if vote.Grant == "" || p.v.sizes[controlLog] == 0 {
		return
	}
	g, ok := p.v.granted.Get(vote.Grant)
	var found string
	switch {
	case !ok:
		found = "a grant that was never made"
	case g.By.Issuer != vote.By.Issuer || g.By.Principal != vote.By.Principal:
		found = "a grant that " + g.By.Principal + " made"
	case !g.UsedFor(call.ID, vote.Digest):
		found = "a grant that was not used for this call, or too often"
	case !p.covered(ctx, g, call):
		found = fmt.Sprintf("a grant for %s of %s", g.Tool, g.Principal)
	default:
		return
	}
	p.blame(Finding{
		Rule: BadGrant, Where: r.Position, CallID: call.ID,
		Expected: "a grant by " + vote.By.Principal + " that covers the call and is used for it", Found: found,
	})
}

// covered compares the grant's conditions with the arguments where these can be read;
// once they are erased, or where some are redacted, only what the intent says.
func (p *protocol) covered(ctx context.Context, g grants.Grant, call *calls.Call) bool {
	commitment, at := call.Arguments()
	args, err := p.v.source.Payload(ctx, at, audit.PayloadArguments)
	if p.v.options.SkipPayloads || err != nil || call.Intent.Redacted != nil || !commitment.Matches(args) {
		g.Where = nil
	}
	return g.Covers(call.Intent, args.Body)
}
