package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope names the instruments and spans of this product.
const scope = "github.com/deedbroker/deed"

// The formats of log lines.
const (
	FormatJSON = "json"
	FormatText = "text"
)

// Config says what operators get. Output is required.
type Config struct {
	Output  io.Writer // of log lines
	Format  string    // FormatJSON or FormatText; empty means text
	Level   slog.Leveler
	Version string // of the product
	Replica string // of this process
}

// Telemetry is what the parts of a broker report to.
type Telemetry struct {
	Logger  *slog.Logger
	Meter   metric.Meter
	Tracer  trace.Tracer
	Metrics http.Handler // serves /metrics in Prometheus' format

	stop []func(context.Context) error
}

// Setup makes a broker's telemetry. Traces are exported by OTLP over HTTP if
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set; their
// other variables count too, as the OpenTelemetry specification says. The caller MUST call
// [Telemetry.Shutdown].
func Setup(cfg Config) (*Telemetry, error) {
	if cfg.Output == nil {
		return nil, errors.New("set up telemetry: an output is required")
	}
	logger, err := newLogger(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up telemetry: %w", err)
	}
	t := &Telemetry{Logger: logger}
	about := resource.NewSchemaless(
		attribute.String("service.name", "deed"),
		attribute.String("service.version", cfg.Version),
		attribute.String("service.instance.id", cfg.Replica),
	)
	if err := t.measure(about); err != nil {
		return nil, fmt.Errorf("set up metrics: %w", err)
	}
	if err := t.traceTo(about); err != nil {
		return nil, fmt.Errorf("set up traces: %w", errors.Join(err, t.Shutdown(context.Background())))
	}
	return t, nil
}

// Shutdown sends what is waiting, and ends. Calling it again does nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var errs []error
	for _, stop := range t.stop {
		errs = append(errs, stop(ctx))
	}
	t.stop = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("shut down telemetry: %w", err)
	}
	return nil
}

// traceTo exports traces if there is somewhere to export them to.
func (t *Telemetry) traceTo(about *resource.Resource) error {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		t.Tracer = passing{}
		return nil
	}
	exporter, err := otlptracehttp.New(context.Background()) // does not connect yet
	if err != nil {
		return err
	}
	// The SDK reports trouble of its exporters to one handler of the process.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		t.Logger.LogAttrs(context.Background(), slog.LevelWarn, "telemetry not exported", slog.Any("error", err))
	}))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	t.Tracer = provider.Tracer(scope)
	t.stop = append(t.stop, provider.Shutdown)
	return nil
}
