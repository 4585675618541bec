package export

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

type otelFormat struct {
	w       io.Writer
	version string
}

// NewOTLP writes OTLP log records in the JSON encoding of OTLP 1: a LogsData document
// a line, as the Collector's file receiver reads it.
func NewOTLP(w io.Writer, version string) Format { return &otelFormat{w, version} }

// Call is part of [Format].
func (f *otelFormat) Call(e *Entry) error {
	b, err := OTLP([]*Entry{e}, f.version)
	if err == nil {
		_, err = f.w.Write(append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write otel: %w", err)
	}
	return nil
}

// Close is part of [Format].
func (f *otelFormat) Close() error { return nil }

// The parts of OTLP's LogsData that are used; 64-bit numbers are strings in its JSON.
type (
	logsData struct {
		ResourceLogs []resourceLogs `json:"resourceLogs"`
	}
	resourceLogs struct {
		Resource  resource    `json:"resource"`
		ScopeLogs []scopeLogs `json:"scopeLogs"`
	}
	resource struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeLogs struct {
		Scope      scope       `json:"scope"`
		LogRecords []logRecord `json:"logRecords"`
	}
	scope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	logRecord struct {
		Time       string     `json:"timeUnixNano"`
		Observed   string     `json:"observedTimeUnixNano"`
		Severity   int        `json:"severityNumber"`
		Text       string     `json:"severityText"`
		Body       anyValue   `json:"body"`
		Attributes []keyValue `json:"attributes"`
		TraceID    string     `json:"traceId,omitempty"`
		SpanID     string     `json:"spanId,omitempty"`
		EventName  string     `json:"eventName"`
	}
	keyValue struct {
		Key   string   `json:"key"`
		Value anyValue `json:"value"`
	}
	anyValue struct {
		String *string     `json:"stringValue,omitempty"`
		Int    *string     `json:"intValue,omitempty"`
		Double *float64    `json:"doubleValue,omitempty"`
		Array  *arrayValue `json:"arrayValue,omitempty"`
	}
	arrayValue struct {
		Values []anyValue `json:"values"`
	}
)

// OTLP is entries of one tenant as one LogsData document.
func OTLP(entries []*Entry, version string) ([]byte, error) {
	s := scopeLogs{Scope: scope{Name: "dev.deed", Version: version}, LogRecords: []logRecord{}}
	tenant := ""
	for _, e := range entries {
		tenant = e.Tenant
		s.LogRecords = append(s.LogRecords, logRecordOf(e))
	}
	r := resource{Attributes: []keyValue{textAttribute("service.name", "deed"), textAttribute("service.version", version), textAttribute("deed.tenant", tenant)}}
	return json.Marshal(logsData{ResourceLogs: []resourceLogs{{Resource: r, ScopeLogs: []scopeLogs{s}}}})
}

func logRecordOf(e *Entry) logRecord {
	r := RowOf(e)
	severity, text := 9, "INFO"
	if r.Outcome != outcomeResult && !e.Call.Open() {
		severity, text = 13, "WARN"
	}
	if r.Outcome == outcomeUnknown {
		severity, text = 17, "ERROR"
	}
	body := r.Agents + " called " + r.Tool + " for " + r.Principal + ": " + r.Outcome
	l := logRecord{
		Time: nanos(e.Ended()), Observed: nanos(e.Ended()), Severity: severity, Text: text, Body: anyValue{String: &body},
		TraceID: traceID(e.Call.Opening.Trace), SpanID: spanID(e.Call.Opening.Trace), EventName: "deed.call",
	}
	add := func(key, value string) {
		if value != "" {
			l.Attributes = append(l.Attributes, textAttribute(key, value))
		}
	}
	add("gen_ai.operation.name", "execute_tool")
	add("gen_ai.tool.name", r.Tool)
	add("gen_ai.tool.call.id", r.CallID)
	add("gen_ai.agent.id", first(agents(e)))
	add("mcp.method.name", "tools/call")
	add("mcp.protocol.version", e.Call.Intent.Protocol)
	add("enduser.id", r.Principal)
	add("session.id", r.Session)
	add("deed.domain", r.Domain)
	add("deed.issuer", r.Issuer)
	add("deed.outcome", r.Outcome)
	add("deed.code", r.Code)
	add("deed.reason", r.Reason)
	add("deed.decision", r.Effect)
	add("deed.policy_set", r.PolicySet)
	add("deed.arguments.sha256", r.Arguments)
	add("deed.output.sha256", r.Output)
	add("deed.record", e.At.String())
	add("deed.leaf_hash", r.Leaf)
	if r.Outcome == outcomeFailed || r.Outcome == outcomeUnknown {
		add("error.type", r.Code)
	}
	l.Attributes = append(l.Attributes, listAttribute("deed.chain", agents(e)), listAttribute("deed.policies", policies(decisionOf(e))),
		listAttribute("deed.roles", e.Call.Intent.Identity.Roles), keyValue{"deed.duration_ms", anyValue{Double: &r.Millis}})
	votes := strconv.Itoa(len(e.Call.Votes))
	l.Attributes = append(l.Attributes, keyValue{"deed.approvals", anyValue{Int: &votes}})
	return l
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func textAttribute(key, value string) keyValue { return keyValue{key, anyValue{String: &value}} }

func listAttribute(key string, values []string) keyValue {
	list := arrayValue{Values: []anyValue{}}
	for _, v := range values {
		list.Values = append(list.Values, anyValue{String: &v})
	}
	return keyValue{key, anyValue{Array: &list}}
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
