// Package telemetry is what operators see of a broker: its log lines, metrics and
// traces.
//
// The rest of the product writes to slog and to the OpenTelemetry API; the SDK, its
// exporters and Prometheus are here alone. Without an OTLP endpoint nothing is
// traced, but every call still has a trace id: the caller's, or a new one.
package telemetry
