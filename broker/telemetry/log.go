package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// newLogger writes lines that name the trace and the call they belong to.
func newLogger(cfg Config) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: cfg.Level}
	switch cfg.Format {
	case FormatJSON:
		return slog.New(&handler{slog.NewJSONHandler(cfg.Output, o)}), nil
	case FormatText, "":
		return slog.New(&handler{slog.NewTextHandler(cfg.Output, o)}), nil
	default:
		return nil, fmt.Errorf("log format %q: want %s or %s", cfg.Format, FormatJSON, FormatText)
	}
}

type callKey struct{}

// WithCallID marks everything that is logged with the context as being about a call.
func WithCallID(ctx context.Context, callID string) context.Context {
	return context.WithValue(ctx, callKey{}, callID)
}

// handler adds trace_id and call_id to records whose context knows them. A
// record that names its call_id itself keeps its own.
type handler struct{ slog.Handler }

// Handle is [slog.Handler].
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()))
	}
	if id, ok := ctx.Value(callKey{}).(string); ok && !names(r, "call_id") {
		r.AddAttrs(slog.String("call_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs is [slog.Handler].
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup is [slog.Handler]. What the context adds is in the group too.
func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.Handler.WithGroup(name)} }

func names(r slog.Record, key string) bool {
	found := false
	r.Attrs(func(a slog.Attr) bool {
		found = a.Key == key
		return !found
	})
	return found
}
