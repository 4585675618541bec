package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/tools"
)

// call is one call on its way through the broker.
type call struct {
	id     string
	req    Request
	domain string
	tool   *tools.Tool
	args   tools.Arguments
	stored audit.Payload // the arguments
	intent audit.Intent
	key    callKey
	trace  string
	start  time.Time
}

// callKey tells whether two requests are the same call by the same caller.
type callKey [sha256.Size]byte

func keyOf(caller, tool, idempotency string, args []byte) callKey {
	h := sha256.New()
	for _, part := range []string{caller, tool, idempotency} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	h.Write(args)
	return callKey(h.Sum(nil))
}

// Call takes one tools/call from a verified caller to its end: the tool's answer, a
// pending reply while people decide, or an *Error. A call that equals one of the
// same caller that is held, or that ended while nobody waited, is that call again.
//
// The tool runs only after the log acknowledged the intent, and runs to its end even
// if ctx is done earlier; the result is recorded either way.
func (b *Broker) Call(ctx context.Context, r Request) (*Reply, error) {
	c := &call{id: newID(), req: r, domain: audit.OwnDomain, start: time.Now()}
	ctx, span := b.trace(ctx, c)
	defer span.End()
	reply, err := b.walk(ctx, c)
	b.metrics.called(ctx, c, err)
	if err != nil {
		span.RecordError(err)
		return nil, err
	}
	return reply, nil
}

// walk is the way of a call, top to bottom.
func (b *Broker) walk(ctx context.Context, c *call) (*Reply, error) {
	if err := b.limits.allow(c.req.Identity); err != nil {
		return nil, err
	}
	if err := b.resolve(c); err != nil {
		return nil, b.refuse(ctx, c, err)
	}
	if h := b.holds.same(c.key); h != nil {
		return b.await(ctx, h, c.req.Waiting)
	}
	if err := b.authorise(c); err != nil {
		return nil, b.refuse(ctx, c, err)
	}
	f, err := b.open(ctx, c)
	if err != nil {
		return nil, err
	}
	defer b.flights.land(c.id)
	if f.held {
		return b.hold(ctx, c, f)
	}
	answer, fail := b.execute(ctx, running{id: c.id, domain: c.domain, intent: &c.intent, trace: c.trace}, c.tool, c.args.Canonical, c.req.Notify)
	if fail != nil {
		return nil, fail
	}
	return &Reply{CallID: c.id, Answer: answer}, nil
}

// trace continues the caller's trace, or starts one.
func (b *Broker) trace(ctx context.Context, c *call) (context.Context, trace.Span) {
	tc := propagation.TraceContext{}
	if c.req.TraceParent != "" {
		ctx = tc.Extract(ctx, propagation.MapCarrier{"traceparent": c.req.TraceParent})
	}
	ctx, span := b.cfg.Tracer.Start(ctx, "call "+c.req.Tool, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("deed.call_id", c.id), attribute.String("deed.tool", c.req.Tool)))
	carrier := propagation.MapCarrier{}
	tc.Inject(ctx, carrier)
	c.trace = carrier["traceparent"]
	return ctx, span
}

// refusal is why a call goes no further.
type refusal struct {
	kind     Kind
	code     string
	public   string
	decision *audit.Decision
	err      error
}

// resolve finds the tool, and reads and checks the arguments.
func (b *Broker) resolve(c *call) *refusal {
	c.intent = audit.Intent{
		Tool: clip(c.req.Tool, maxToolName), Identity: recorded(c.req.Identity),
		Client: c.req.Client, Protocol: c.req.Protocol, IdempotencyKey: c.req.IdempotencyKey,
	}
	t, err := b.cfg.Catalogue.Lookup(c.req.Tool)
	if err != nil {
		return refusalOfLookup(err)
	}
	c.tool, c.domain = t, t.Domain
	c.intent.Tool, c.intent.Definition = t.Name(), t.Digest
	if c.args, err = tools.ParseArguments(c.req.Arguments); err != nil {
		return &refusal{kind: Invalid, code: audit.CodeInvalidArguments, public: err.Error(), err: err}
	}
	c.stored = audit.NewPayload(audit.PayloadArguments, c.args.Canonical)
	c.intent.Arguments = c.stored.Commitment()
	c.intent.Digest = audit.CallDigest(c.intent)
	c.key = keyOf(callerOf(c.intent.Identity), t.Name(), c.req.IdempotencyKey, c.args.Canonical)
	if err := t.Validate(c.args); err != nil {
		return &refusal{kind: Invalid, code: audit.CodeInvalidArguments, public: err.Error(), err: err}
	}
	return nil
}

const maxToolName = 200

// clip bounds a string that a stranger chose.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

func refusalOfLookup(err error) *refusal {
	if q, ok := errors.AsType[*tools.QuarantinedError](err); ok {
		return &refusal{kind: Denied, code: audit.CodeQuarantined, public: q.Error(), err: err}
	}
	return &refusal{kind: NotFound, code: audit.CodeUnknownTool, err: err,
		public: "there is no such tool here; tools/list shows those that you can call"}
}

// refuse records a call that never became an intent, and says so to its caller.
func (b *Broker) refuse(ctx context.Context, c *call, r *refusal) error {
	out := audit.Outcome{Code: r.code, Reason: clip(r.public, maxReason), Decision: r.decision, Request: &c.intent}
	var payloads []audit.Payload
	if c.stored.Salt != nil {
		payloads = append(payloads, c.stored)
	}
	fail := &Error{Kind: r.kind, Op: "call " + c.intent.Tool, Public: r.public, Err: r.err, CallID: c.id, Decision: r.decision}
	if _, err := b.write(ctx, audit.CallDenied, b.callOf(c.id, c.domain, &c.intent, c.trace), out, payloads...); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "refusal not recorded", slog.String("call_id", c.id), slog.Any("error", err))
		return unavailable(fail.Op, c.id, err)
	}
	return fail
}

const maxReason = 2000

// unavailable is the error of a call whose intent or refusal the log did not take.
func unavailable(op, callID string, err error) *Error {
	e := &Error{Kind: LogUnavailable, Op: op, Err: err, CallID: callID, Retry: 5 * time.Second,
		Public: "the record of this call could not be written, so nothing was done; calling again is safe"}
	if errors.Is(err, audit.ErrTooLarge) {
		e.Kind, e.Retry = Invalid, 0
		e.Public = "the arguments are too large to be recorded, so nothing was done"
	}
	return e
}

// open writes the intent. When it returns without an error the intent is durable.
func (b *Broker) open(ctx context.Context, c *call) (*flight, error) {
	op := "call " + c.intent.Tool
	held := c.intent.Decision.Effect == audit.Hold
	f, ok := b.flights.start(c, held)
	if !ok {
		return nil, &Error{Kind: Overloaded, Op: op, Public: "the broker is stopping, and nothing was done; call again", Retry: 5 * time.Second}
	}
	ctx, span := b.cfg.Tracer.Start(ctx, "record intent")
	_, err := b.write(ctx, audit.CallIntent, b.callOf(c.id, c.domain, &c.intent, c.trace), c.intent, c.stored)
	span.End()
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, audit.ErrUncertain):
		if b.flights.abandon(c.id) {
			b.closeAbandoned(ctx, c)
		}
	}
	b.flights.land(c.id)
	return nil, unavailable(op, c.id, err)
}

// closeAbandoned cancels a call whose intent was stored after its caller had been refused.
func (b *Broker) closeAbandoned(ctx context.Context, c *call) {
	out := audit.Outcome{Code: audit.CodeUnacknowledged, Reason: "its record was acknowledged too late; it was not executed"}
	b.closing(ctx, audit.CallCancelled, b.callOf(c.id, c.domain, &c.intent, c.trace), out)
}

// closing writes an event that ends a call and that nobody waits for.
func (b *Broker) closing(ctx context.Context, t audit.Type, a about, out audit.Outcome) {
	if _, err := b.write(ctx, t, a, out); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "closing event not recorded",
			slog.String("call_id", a.callID), slog.String("type", string(t)), slog.Any("error", err))
	}
}
