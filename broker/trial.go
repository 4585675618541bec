package broker

import (
	"errors"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// Trial is a call that nobody makes, to see what the policies would say.
type Trial struct {
	Set       *policy.Set // nil for the one in force
	Identity  audit.Identity
	Tool      string // upstream.tool
	Arguments []byte
	Approvals policy.Approvals
	At        time.Time // zero: now
}

// Verdict is what the policies say of a [Trial].
type Verdict struct {
	audit.Decision
	Text   string // of a refusal, as the agent would read it
	Quorum int    // of a hold: the least number of approvals that lifts it
}

// Try decides a call that nobody makes. Nothing is done, counted or recorded. It fails as
// [Broker.Call] does with a tool that is not there and with arguments that do not fit it.
// What policies look back at is what it is now; counters that only a draft has are zero.
func (b *Broker) Try(t Trial) (Verdict, error) {
	const op = "try a call"
	tool, err := b.cfg.Catalogue.Lookup(t.Tool)
	if err != nil {
		r := refusalOfLookup(err)
		return Verdict{}, &Error{Kind: r.kind, Op: op, Public: r.public, Err: err}
	}
	args, err := tools.ParseArguments(t.Arguments)
	if err == nil {
		err = tool.Validate(args)
	}
	if err != nil {
		return Verdict{}, &Error{Kind: Invalid, Op: op, Public: err.Error(), Err: err}
	}
	set := t.Set
	if set == nil {
		set = b.cfg.Policies.Set()
	}
	r := requestFor(tool, args, t.Identity, t.Approvals)
	if !t.At.IsZero() {
		r.Now = t.At.UTC()
	}
	b.recents.mu.Lock()
	r.Recent = b.recents.values(set.Counters(), tool.Name(), t.Identity, r.Now)
	b.recents.mu.Unlock()
	d, err := set.Decide(r)
	if _, wrong := errors.AsType[*policy.RequestError](err); wrong {
		return Verdict{}, &Error{Kind: Invalid, Op: op, Public: err.Error(), Err: err}
	}
	v := Verdict{Decision: d}
	switch {
	case err != nil:
		v.Text = refusalOfPolicy(err).public
	case d.Effect == audit.Deny:
		v.Text = denialText(d)
	case d.Effect == audit.Hold:
		v.Quorum = set.Quorum(r)
	}
	return v, nil
}
