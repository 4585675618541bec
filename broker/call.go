package broker

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
)

// call is one call on its way through the broker.
type call struct {
	id     string
	req    Request
	domain string
	tool   *tools.Tool
	args   tools.Arguments
	stored []audit.Payload // the arguments, and why they are asked for
	salt   []byte          // of the arguments in stored
	intent audit.Intent
	key    callKey
	trace  string
	start  time.Time
}

// held reports whether policy holds the call for people.
func (c *call) held() bool { return c.intent.Decision.Effect == audit.Hold }

// callKey tells whether two requests are the same call by the same caller.
type callKey [sha256.Size]byte

func keyOf(in audit.Intent, args []byte) callKey {
	all := make([]byte, 0, 256+len(args))
	for _, part := range []string{callerOf(in.Identity), in.Tool, in.Definition, in.IdempotencyKey} {
		all = strconv.AppendInt(all, int64(len(part)), 10)
		all = append(append(all, ':'), part...)
	}
	return sha256.Sum256(append(all, args...))
}

// Call takes one tools/call from a verified caller to its end: the tool's answer, a
// pending reply while people decide, or an *Error. A call that equals one of the
// same caller that is held, or that ended while nobody waited, is that call again; so is
// one with the idempotency key of an earlier call, whatever became of that.
//
// The tool runs only after the log acknowledged the intent, and runs to its end even
// if ctx is done earlier; the result is recorded either way.
func (b *Broker) Call(ctx context.Context, r Request) (*Reply, error) {
	c := &call{id: newID(), req: r, domain: audit.OwnDomain, start: time.Now()}
	ctx, span := b.cfg.Tracer.Start(continued(ctx, r.TraceParent), "call", trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("deed.call_id", c.id), attribute.String("deed.tool", clip(r.Tool, maxToolName))))
	defer span.End()
	c.trace = traceParent(ctx)
	reply, err := b.walk(ctx, c)
	b.metrics.called(ctx, c, err)
	if err != nil {
		span.SetStatus(codes.Error, AsError(err).Kind.String()) // the cause may quote an upstream
		return nil, err
	}
	return reply, nil
}

// walk is the way of a call, top to bottom.
func (b *Broker) walk(ctx context.Context, c *call) (*Reply, error) {
	if err := known("call "+clip(c.req.Tool, maxToolName), c.req.Identity); err != nil {
		return nil, err
	}
	if err := b.limits.allow(c.req.Identity); err != nil {
		return nil, b.limited(ctx, c, AsError(err))
	}
	if err := b.resolve(c); err != nil {
		return nil, b.refuse(ctx, c, err)
	}
	if err := b.barred(c.req.Identity); err != nil {
		return nil, b.refuse(ctx, c, err)
	}
	if r := insufficient(c.req.LacksScopes); r != nil {
		return nil, b.refuse(ctx, c, r)
	}
	first, refused := b.repeated(ctx, c)
	switch {
	case refused != nil:
		return nil, b.refuse(ctx, c, refused)
	case first != nil:
		return b.again(ctx, c, first)
	}
	if err := b.permitted(ctx, c); err != nil {
		b.repeats.drop(c.id)
		return nil, b.refuse(ctx, c, err)
	}
	leave, tooMany := b.limits.enter(c)
	if tooMany != nil {
		b.repeats.drop(c.id)
		b.unreserve(c)
		return nil, b.limited(ctx, c, tooMany)
	}
	defer leave()
	if !c.req.TaskUntil.IsZero() && (c.held() || !c.req.TaskIfHeld) {
		c.intent.TaskUntil = c.req.TaskUntil.UTC()
		b.repeats.keep(c.id)
	}
	f, err := b.open(ctx, c)
	if err != nil {
		b.repeats.drop(c.id)
		return nil, err
	}
	defer b.work.done()
	defer b.flights.land(c.id)
	b.begun(c)
	if first, err := b.givesWay(ctx, c, f); first != nil || err != nil {
		if err != nil {
			return nil, err
		}
		return b.again(ctx, c, first)
	}
	if f.held {
		b.findable(ctx, c)
		reply, err := b.hold(ctx, c, f)
		if errors.Is(context.Cause(ctx), ErrCancelled) {
			return b.withdraw(ctx, c.req.Identity, c.id)
		}
		return reply, err
	}
	reply, fail := b.execute(ctx, running{id: c.id, domain: c.domain, intent: &c.intent, trace: c.trace}, c.tool, tools.Call{
		ID: c.id, Arguments: c.args.Canonical, TraceParent: c.trace, IdempotencyKey: upstreamKey(c.intent),
		Notify: c.req.Notify, LogLevel: c.req.LogLevel, Asking: c.req.Asking, Subject: c.req.Subject,
	})
	if fail != nil {
		return nil, fail
	}
	return reply, nil
}

// permitted refuses what policy denies, and what may have happened already.
func (b *Broker) permitted(ctx context.Context, c *call) *refusal {
	if r := b.unreconciled(ctx, c.intent, c.tool, c.args.Canonical); r != nil {
		return r
	}
	return b.authorise(c)
}

// again gives a request that repeats a call that call's outcome.
func (b *Broker) again(ctx context.Context, c *call, first *hold) (*Reply, error) {
	if c.req.Begun != nil {
		c.req.Begun(first.id)
	}
	reply, err := b.await(ctx, first, &c.req)
	if now, _ := first.snapshot(); errors.Is(context.Cause(ctx), ErrCancelled) && now.State == calls.Held {
		return b.withdraw(ctx, c.req.Identity, first.id)
	}
	if reply != nil {
		reply.Repeated = true
	}
	return reply, err
}

// same finds the held call that a repeated request means, wherever it was made first. Of
// calls that other replicas took the arguments are read only when they are needed.
func (b *Broker) same(ctx context.Context, c *call) *hold {
	for _, h := range b.holds.alike(c.intent) {
		held, _ := h.snapshot()
		b.rekey(ctx, h, held)
	}
	return b.holds.same(c.key, time.Now())
}

// traceParent is the W3C traceparent of the span in ctx; empty if there is none.
func traceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// continued is ctx in the trace of a W3C traceparent, if there is one.
func continued(ctx context.Context, traceParent string) context.Context {
	if traceParent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceParent})
}

// refusal is why a call goes no further.
type refusal struct {
	kind     Kind
	code     string
	public   string
	decision *audit.Decision
	err      error
	retry    time.Duration
}

// asked is what is known of a call before its tool is.
func (b *Broker) asked(c *call) audit.Intent {
	return audit.Intent{
		Tool: clip(c.req.Tool, maxToolName), Identity: recorded(c.req.Identity),
		Client: c.req.Client, Protocol: c.req.Protocol, IdempotencyKey: clip(c.req.IdempotencyKey, maxKey),
	}
}

// resolve finds the tool, and reads and checks the arguments.
func (b *Broker) resolve(c *call) *refusal {
	c.intent = b.asked(c)
	t, err := b.cfg.Catalogue.Lookup(c.req.Tool)
	if err == nil && t.Method != cmp.Or(c.req.Method, tools.MethodCall) {
		err = tools.ErrUnknownTool
	}
	if err != nil {
		return refusalOfLookup(err)
	}
	c.tool, c.domain = t, t.Domain
	c.intent.Tool, c.intent.Definition = t.Name(), t.Digest
	if c.args, err = tools.ParseArguments(c.req.Arguments); err != nil {
		return &refusal{kind: Invalid, code: audit.CodeInvalidArguments, public: err.Error(), err: err}
	}
	if err := b.keyed(c); err != nil {
		return &refusal{kind: Invalid, code: audit.CodeInvalidArguments, public: err.Error(), err: err}
	}
	if err := b.record(c); err != nil {
		return &refusal{kind: Internal, code: audit.CodeInvalidArguments, public: "it cannot be told what of the arguments may be put on record", err: err}
	}
	c.intent.Digest = audit.CallDigest(c.intent)
	c.key = keyOf(c.intent, c.args.Canonical)
	if err := t.Validate(c.args); err != nil {
		return &refusal{kind: Invalid, code: audit.CodeInvalidArguments, public: err.Error(), err: err}
	}
	return nil
}

// insufficient refuses a call whose token lacks scopes.
func insufficient(scopes []string) *refusal {
	if len(scopes) == 0 {
		return nil
	}
	return &refusal{
		kind: Denied, code: audit.CodeInsufficientScope,
		public: "the token lacks scopes that this tool needs: " + strings.Join(scopes, " ") + "; get one that has them",
	}
}

const maxToolName = 200

// clip bounds a string that a stranger chose.
func clip(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

func refusalOfLookup(err error) *refusal {
	if q, ok := errors.AsType[*tools.QuarantinedError](err); ok {
		return &refusal{kind: Denied, code: audit.CodeQuarantined, public: q.Error(), err: err}
	}
	return &refusal{
		kind: NotFound, code: audit.CodeUnknownTool, err: err,
		public: "there is no such tool here; tools/list shows those that you can call",
	}
}

// refuse records a call that never became an intent, and says so to its caller.
func (b *Broker) refuse(ctx context.Context, c *call, r *refusal) error {
	out := audit.Outcome{Code: r.code, Reason: clip(b.sayable(c.domain, r.public), maxReason), Decision: r.decision, Request: &c.intent}
	c.intent.Statement = b.state(c.id, &c.intent)
	fail := &Error{Kind: r.kind, Op: "call " + c.intent.Tool, Public: r.public, Err: r.err, CallID: c.id, Decision: r.decision, Retry: r.retry}
	if err := b.write(ctx, audit.CallDenied, b.callOf(c.id, c.domain, &c.intent, c.trace), out, c.stored...); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "refusal not recorded", slog.String("call_id", c.id), slog.Any("error", err))
		return unavailable(fail.Op, c.id, err)
	}
	return fail
}

const maxReason = 2000

// unavailable is the error of a call whose intent or refusal the log did not take.
func unavailable(op, callID string, err error) *Error {
	e := &Error{
		Kind: LogUnavailable, Op: op, Err: err, CallID: callID, Retry: 5 * time.Second,
		Public: "the record of this call could not be written, so nothing was done; calling again is safe",
	}
	if errors.Is(err, audit.ErrTooLarge) {
		e.Kind, e.Retry = Invalid, 0
		e.Public = "the arguments are too large to be recorded, so nothing was done"
	}
	return e
}

// open writes the intent. When it returns without an error the intent is durable,
// and the call counts as a task until it is landed.
func (b *Broker) open(ctx context.Context, c *call) (*flight, error) {
	op := "call " + c.intent.Tool
	c.intent.Statement = b.state(c.id, &c.intent)
	b.work.add()
	f, err := b.flights.start(c)
	if err != nil {
		b.unreserve(c)
		b.work.done()
		if errors.Is(err, errStopping) {
			return nil, &Error{Kind: Overloaded, Op: op, Err: err, Public: "the broker is stopping, and nothing was done; call again", Retry: 5 * time.Second}
		}
		return nil, unavailable(op, c.id, err)
	}
	recording, span := b.cfg.Tracer.Start(ctx, "record intent")
	sent := time.Now()
	err = b.writeIntent(recording, c, f.where)
	span.End()
	if err == nil && elapsed(sent) > b.cfg.AckWait+lateBy { // this process was stopped meanwhile
		err = fmt.Errorf("%w: it is too late to run the call", audit.ErrUncertain)
	}
	if err == nil {
		return f, nil
	}
	defer b.work.done()
	defer b.flights.drop(c.id)
	if errors.Is(err, audit.ErrUncertain) && b.flights.abandon(c.id) {
		b.giveUp(f)
	} else {
		b.unreserve(c)
	}
	return nil, unavailable(op, c.id, err)
}

// writeIntent writes the intent of a call. That of a call which is neither held nor meant
// by other requests is only to be folded some time.
func (b *Broker) writeIntent(ctx context.Context, c *call, where about) error {
	e, err := b.event(audit.CallIntent, where, c.intent, c.stored...)
	if err != nil {
		return err
	}
	e.Quiet = !c.held() && !b.repeats.claimed(c.id)
	return b.append(ctx, e)
}

// lateBy is how much longer than it may take an acknowledgement can seem to have
// taken before it is void. A process that was stopped between acknowledgement and act
// may wake up when its place is another's; that takes logs much longer to find.
const lateBy = 2 * time.Second

// elapsed is the time since then, by the clock that runs while the machine sleeps as well.
func elapsed(then time.Time) time.Duration {
	return max(time.Since(then), time.Now().Round(0).Sub(then.Round(0)))
}

// unreserve gives back the room of a call that is not going to be held.
func (b *Broker) unreserve(c *call) {
	b.recents.drop(c.id)
	if c.held() {
		b.holds.free(callerOf(c.intent.Identity))
	}
}

// giveUp closes a call that the follower has met, though its acknowledgement did
// not come in time. A held one is closed by those who decide on it, so that no
// release can be under way meanwhile.
func (b *Broker) giveUp(f *flight) {
	if !f.held {
		b.owe(audit.CallCancelled, f.where, outcomeUnacknowledged())
		return
	}
	select {
	case <-f.folded:
	case <-b.live.Done():
		return
	}
	if h := b.holds.get(f.where.callID); h != nil {
		h.withdraw()
		b.consider(h)
	}
}
