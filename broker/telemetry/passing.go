package telemetry

import (
	"context"
	"crypto/rand"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// passing is a tracer that records nothing. It passes a caller's trace on as it
// came, and gives those who have none a trace id to find their call by.
type passing struct{ embedded.Tracer }

// Start is [trace.Tracer].
func (passing) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	span := trace.SpanFromContext(ctx)
	sc := span.SpanContext()
	if sc.IsValid() && !span.IsRecording() {
		return ctx, span
	}
	if !sc.IsValid() {
		var ids struct {
			trace trace.TraceID
			span  trace.SpanID
		}
		_, _ = rand.Read(ids.trace[:]) // never fails (crypto/rand)
		_, _ = rand.Read(ids.span[:])
		sc = trace.NewSpanContext(trace.SpanContextConfig{TraceID: ids.trace, SpanID: ids.span})
	}
	// A span of the context's span context only: it records nothing, and ends nothing.
	ctx = trace.ContextWithSpanContext(ctx, sc)
	return ctx, trace.SpanFromContext(ctx)
}
