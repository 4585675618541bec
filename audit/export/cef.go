package export

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

type cefFormat struct {
	w       io.Writer
	version string
}

// NewCEF writes ArcSight Common Event Format, version 0: a line a call.
func NewCEF(w io.Writer, version string) Format { return &cefFormat{w, version} }

// Call is part of [Format].
func (f *cefFormat) Call(e *Entry) error {
	_, err := io.WriteString(f.w, CEF(e, f.version)+"\n")
	if err != nil {
		return fmt.Errorf("write cef: %w", err)
	}
	return nil
}

// Close is part of [Format].
func (f *cefFormat) Close() error { return nil }

// CEF is an entry as one line of Common Event Format.
func CEF(e *Entry, version string) string {
	r := RowOf(e)
	extension := strings.NewReplacer(`\`, `\\`, "=", `\=`, "\r\n", `\n`, "\n", `\n`, "\r", `\n`)
	var b strings.Builder
	b.WriteString("CEF:0")
	for _, field := range []string{"Deed", "Deed", version, "call." + r.Outcome, "Agent tool call " + r.Outcome, strconv.Itoa(cefSeverity(r.Outcome))} {
		b.WriteString("|" + strings.NewReplacer(`\`, `\\`, "|", `\|`, "\n", " ", "\r", " ").Replace(field))
	}
	b.WriteString("|")
	space := ""
	for _, x := range [][2]string{
		{"rt", millis(e.Ended())},
		{"start", millis(started(e))},
		{"end", millis(e.Call.Closing.Time)},
		{"externalId", r.CallID},
		{"suser", r.Principal},
		{"spriv", r.Roles},
		{"sproc", r.Agents},
		{"act", r.Effect},
		{"outcome", r.Outcome},
		{"reason", r.Code},
		{"msg", r.Reason},
		{"destinationServiceName", r.Tool},
		{"deviceExternalId", e.Call.Opening.Source},
		{"cs1Label", label("policies", r.Policies)},
		{"cs1", r.Policies},
		{"cs2Label", label("approvers", r.Approvers)},
		{"cs2", r.Approvers},
		{"cs3Label", "record"},
		{"cs3", e.At.String()},
		{"cs4Label", "leafHash"},
		{"cs4", r.Leaf},
		{"cs5Label", label("traceId", r.Trace)},
		{"cs5", r.Trace},
		{"cs6Label", "domain"},
		{"cs6", r.Domain},
	} {
		if x[1] != "" {
			b.WriteString(space + x[0] + "=" + extension.Replace(x[1]))
			space = " "
		}
	}
	return b.String()
}

// label names a custom field that has a value.
func label(name, value string) string {
	if value == "" {
		return ""
	}
	return name
}

func cefSeverity(outcome string) int {
	switch outcome {
	case outcomeResult:
		return 1
	case outcomeFailed, outcomeCancelled, outcomeExpired:
		return 4
	case outcomeDenied:
		return 6
	case outcomeUnknown:
		return 8
	default:
		return 2
	}
}

func millis(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

// How calls end.
const (
	outcomeResult    = "result"
	outcomeFailed    = "failed"
	outcomeDenied    = "denied"
	outcomeExpired   = "expired"
	outcomeCancelled = "cancelled"
	outcomeUnknown   = "unknown"
)
