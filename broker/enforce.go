package broker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
)

// sweepEvery is how often held calls of the revoked are looked for. Whoever wrote a
// revocation closes them at once; this is for when it could not.
const sweepEvery = 5 * time.Second

// errRevoked is why a running call is cancelled: its caller was revoked.
var errRevoked = errors.New("its caller has been revoked")

// revoked is what stops a recorded identity now.
func (b *Broker) revoked(who audit.Identity) (denylist.Entry, bool) {
	if b.denied.list.Len() == 0 {
		return denylist.Entry{}, false
	}
	return b.denied.list.Denies(verified(who), time.Now())
}

// stopped is what stops a held call now: a revocation of its caller, or of somebody
// who approved it.
func (b *Broker) stopped(c *calls.Call) (why string, ok bool) {
	if e, ok := b.revoked(c.Intent.Identity); ok {
		return revokedText(e), true
	}
	for _, v := range c.Votes {
		if e, ok := b.revoked(v.By); ok {
			return "the approval of " + v.By.Principal + " does not stand any more: " + revokedText(e), true
		}
	}
	return "", false
}

// mustStop reports whether a revocation stops a held call.
func (b *Broker) mustStop(c *calls.Call) bool {
	_, stop := b.stopped(c)
	return stop
}

func revokedText(e denylist.Entry) string {
	text := e.String() + " has been revoked"
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if !e.Barred() {
		text += "; log in again"
	}
	return clip(text, maxReason)
}

// outcomeRevoked ends a call that had not run when its caller, or who approved it, was revoked.
func outcomeRevoked(why string) audit.Outcome {
	return audit.Outcome{Code: audit.CodeRevokedUnrun, Reason: why}
}

// barred refuses whoever has been revoked since their token was looked at.
func (b *Broker) barred(id *agents.Identity) *refusal {
	e, ok := b.denied.list.Denies(id, time.Now())
	if !ok {
		return nil
	}
	return &refusal{kind: Denied, code: audit.CodeRevoked, public: "denied: " + revokedText(e)}
}

// barredFrom is barred where nothing is recorded of the refusal but its cause.
func (b *Broker) barredFrom(op string, id *agents.Identity) error {
	if r := b.barred(id); r != nil {
		return &Error{Kind: r.kind, Op: op, Public: r.public}
	}
	return nil
}

// foldControl reads an event of control that concerns revocations, grants, keys, legal holds or erasures. It
// reports the revocation that came into force by it.
func (b *Broker) foldControl(e audit.Event) (entry denylist.Entry, added bool, err error) {
	entry, added, err = b.denied.fold(e, time.Now())
	return entry, added, errors.Join(err, b.granted.fold(e), b.statements.fold(e), b.sealKeys.fold(e), b.keeping.fold(e))
}

// foldPast is foldControl where nothing is to be enforced: it has been.
func (b *Broker) foldPast(e audit.Event) error {
	_, _, err := b.foldControl(e)
	return err
}

// observeControl folds one record of control. An error is what this replica must not live on with.
func (b *Broker) observeControl(ctx context.Context, rec audit.Record) error {
	e, err := rec.Event()
	if err != nil {
		b.strange(ctx, rec, err)
		return nil
	}
	entry, added, err := b.foldControl(e)
	if err != nil {
		b.strange(ctx, rec, err)
	}
	if added {
		b.enforce(ctx, entry, e.Source == b.source)
	}
	if e.Type == audit.KeyRotated {
		return b.followKey()
	}
	return nil
}

// enforce stops what is under way for those whom a revocation names. Held calls are
// closed by whoever wrote it, so that not every replica does.
func (b *Broker) enforce(ctx context.Context, e denylist.Entry, ours bool) {
	n := b.executions.cancel(e)
	b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "revoked", slog.String("revocation", e.ID), slog.String("target", e.String()), slog.Int("running_calls", n))
	if ours {
		b.closeRevoked()
	}
}

// closeRevoked has the held calls of the revoked decided again, which ends them.
func (b *Broker) closeRevoked() {
	if b.denied.list.Len() == 0 {
		return
	}
	for _, h := range b.holds.list() {
		if c, _ := h.snapshot(); c.State == calls.Held {
			if b.mustStop(&c) {
				b.consider(h)
			}
		}
	}
}

// executions are the calls whose tools run here.
type executions struct {
	mu   sync.Mutex
	byID map[string]execution // guarded by mu
}

type execution struct {
	who  *audit.Identity
	stop context.CancelCauseFunc
}

func newExecutions() *executions { return &executions{byID: map[string]execution{}} }

// start registers a call that is about to run, until done is called.
func (x *executions) start(r running, stop context.CancelCauseFunc) (done func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.byID[r.id] = execution{&r.intent.Identity, stop}
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.byID, r.id)
	}
}

// cancel stops those whose callers e names, and says how many.
func (x *executions) cancel(e denylist.Entry) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, one := range x.byID {
		if e.Stops(verified(*one.who)) {
			one.stop(errRevoked)
			n++
		}
	}
	return n
}

// notRun closes a call whose caller was revoked between its intent and its run.
func (b *Broker) notRun(ctx context.Context, r running, e denylist.Entry) *Error {
	out := outcomeRevoked(revokedText(e))
	if _, fail := b.recordOutcome(ctx, r, audit.CallCancelled, out, nil); fail != nil {
		return fail
	}
	return &Error{Kind: Denied, Op: "call " + r.intent.Tool, CallID: r.id, Public: "denied, and nothing was done: " + out.Reason}
}

// judgeRevoked says what became of a call that was cancelled because its caller was revoked.
func judgeRevoked(fail *Error, err error) (audit.Type, audit.Outcome, *Error) {
	if errors.Is(err, tools.ErrNotSent) {
		fail.Kind, fail.Public = Denied, "its caller was revoked, and nothing was done"
		return audit.CallCancelled, outcomeRevoked(fail.Public), fail
	}
	fail.Kind, fail.Public = OutcomeUnknown, "its caller was revoked while the tool ran, which was told to stop; "+unknownText
	return audit.CallUnknown, audit.Outcome{Code: audit.CodeRevokedRunning, Reason: fail.Public}, fail
}
