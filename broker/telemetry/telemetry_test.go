package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deedbroker/deed/broker/telemetry"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func setup(t *testing.T, cfg telemetry.Config) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.Setup(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Errorf("shut down: %v", err)
		}
	})
	return tel
}

func TestLogLinesNameTraceAndCall(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	var out bytes.Buffer
	tel := setup(t, telemetry.Config{Output: &out, Format: telemetry.FormatJSON, Level: slog.LevelInfo})
	ctx := propagation.TraceContext{}.Extract(telemetry.WithCallID(t.Context(), "call-1"), propagation.MapCarrier{"traceparent": parent})
	logged := func() map[string]any {
		t.Helper()
		line := map[string]any{}
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, out.Bytes())
		}
		out.Reset()
		return line
	}
	tel.Logger.With(slog.String("replica", "one")).LogAttrs(ctx, slog.LevelInfo, "done")
	if line := logged(); line["trace_id"] != "0af7651916cd43dd8448eb211c80319c" || line["call_id"] != "call-1" || line["replica"] != "one" {
		t.Errorf("line = %v", line)
	}
	tel.Logger.LogAttrs(ctx, slog.LevelInfo, "done", slog.String("call_id", "call-2"))
	if strings.Contains(out.String(), "call-1") {
		t.Errorf("a call_id of the record's own is not alone: %s", out.String())
	}
	if line := logged(); line["call_id"] != "call-2" {
		t.Errorf("line = %v", line)
	}
	tel.Logger.LogAttrs(t.Context(), slog.LevelInfo, "done")
	if line := logged(); line["trace_id"] != nil || line["call_id"] != nil {
		t.Errorf("line without trace or call = %v", line)
	}
	tel.Logger.LogAttrs(ctx, slog.LevelDebug, "hidden")
	if out.Len() != 0 {
		t.Errorf("below the level: %s", out.String())
	}
}

func TestFormatsAreChecked(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if _, err := telemetry.Setup(telemetry.Config{Output: &out, Format: "xml"}); err == nil {
		t.Error("format xml is accepted")
	}
	if _, err := telemetry.Setup(telemetry.Config{}); err == nil {
		t.Error("no output is accepted")
	}
	setup(t, telemetry.Config{Output: &out, Format: telemetry.FormatText}).Logger.LogAttrs(t.Context(), slog.LevelInfo, "hello", slog.Int("n", 1))
	if !strings.Contains(out.String(), "msg=hello n=1") {
		t.Errorf("text line = %s", out.String())
	}
}

func TestMetricsPageShowsInstrumentsRuntimeAndProcess(t *testing.T) {
	t.Parallel()
	tel := setup(t, telemetry.Config{Output: &bytes.Buffer{}})
	calls, err := tel.Meter.Float64Histogram("deed.call.duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	calls.Record(t.Context(), .03)
	w := httptest.NewRecorder()
	tel.Metrics.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, want := range []string{`deed_call_duration_seconds_bucket{le="0.05"} 1`, `deed_call_duration_seconds_bucket{le="0.025"} 0`, "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("page lacks %s:\n%s", want, w.Body.String())
		}
	}
}

func TestWithoutAnEndpointTracesPassThrough(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
	tel := setup(t, telemetry.Config{Output: &bytes.Buffer{}})
	tc := propagation.TraceContext{}
	ctx, span := tel.Tracer.Start(tc.Extract(t.Context(), propagation.MapCarrier{"traceparent": parent}), "call")
	carrier := propagation.MapCarrier{}
	tc.Inject(ctx, carrier)
	if carrier["traceparent"] != parent || span.IsRecording() {
		t.Errorf("traceparent %q (recording %t), want it as it came", carrier["traceparent"], span.IsRecording())
	}
	span.End()
	fresh, span := tel.Tracer.Start(t.Context(), "call")
	span.End()
	other, span := tel.Tracer.Start(t.Context(), "call")
	span.End()
	a, b := trace.SpanContextFromContext(fresh), trace.SpanContextFromContext(other)
	if !a.IsValid() || a.TraceID() == b.TraceID() || a.IsSampled() {
		t.Errorf("fresh traces %v and %v", a, b)
	}
}

func TestWithAnEndpointSpansAreExported(t *testing.T) {
	var got atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			got.Add(1)
		}
		w.WriteHeader(http.StatusOK)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tel, err := telemetry.Setup(telemetry.Config{Output: &bytes.Buffer{}, Version: "1", Replica: "one"})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracer.Start(t.Context(), "call")
	span.End()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got.Load() != 1 {
		t.Errorf("collector got %d exports, want 1", got.Load())
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Errorf("a second shutdown: %v", err)
	}
}

func BenchmarkPassing(b *testing.B) {
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	tel, err := telemetry.Setup(telemetry.Config{Output: &bytes.Buffer{}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, span := tel.Tracer.Start(b.Context(), "call")
		span.End()
	}
}
