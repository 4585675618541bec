package telemetry

import (
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Bounds of what asking for metrics can cost.
const (
	maxScrapes = 4
	scrapeWait = 10 * time.Second
)

// callSeconds are the buckets of call durations: from a cached answer to people who
// take their time. The SDK's own are made for milliseconds.
var callSeconds = sdkmetric.AggregationExplicitBucketHistogram{
	Boundaries: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
}

// measure makes the meter, and the page that shows what it measures.
func (t *Telemetry) measure(about *resource.Resource) error {
	registry := prometheus.NewRegistry()
	err := errors.Join(
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
	if err != nil {
		return err
	}
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return err
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithResource(about),
		sdkmetric.WithView(sdkmetric.NewView(
			sdkmetric.Instrument{Name: "deed.call.duration"}, sdkmetric.Stream{Aggregation: callSeconds})))
	t.Meter = provider.Meter(scope)
	t.stop = append(t.stop, provider.Shutdown)
	t.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(t.Logger.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes, Timeout: scrapeWait,
	})
	return nil
}
