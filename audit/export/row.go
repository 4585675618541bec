package export

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Row is an entry as a line of a table.
type Row struct {
	CallID    string    `parquet:"call_id"`
	Opened    time.Time `parquet:"opened,timestamp(microsecond)"`
	Closed    time.Time `parquet:"closed,optional,timestamp(microsecond)"`
	Tenant    string    `parquet:"tenant,dict"`
	Domain    string    `parquet:"domain,dict"`
	Tool      string    `parquet:"tool,dict"`
	Issuer    string    `parquet:"issuer,dict"`
	Principal string    `parquet:"principal,dict"`
	Roles     string    `parquet:"roles,dict"`
	Agents    string    `parquet:"agents,dict"` // the current actor first
	Session   string    `parquet:"session,optional"`
	Client    string    `parquet:"client,dict"`
	Effect    string    `parquet:"effect,dict"` // of the first decision
	Policies  string    `parquet:"policies,dict"`
	Reason    string    `parquet:"reason"`
	Approvers string    `parquet:"approvers,dict"` // who approved
	Outcome   string    `parquet:"outcome,dict"`
	Code      string    `parquet:"code,dict"`
	Millis    float64   `parquet:"duration_ms"`
	Arguments string    `parquet:"arguments_sha256"`
	Output    string    `parquet:"output_sha256,optional"`
	PolicySet string    `parquet:"policy_set,dict"`
	Trace     string    `parquet:"trace_id,optional"`
	Log       string    `parquet:"log,dict"`
	Index     int64     `parquet:"index"`
	Leaf      string    `parquet:"leaf_hash"` // hex, RFC 6962
}

// RowOf is the row of an entry.
func RowOf(e *Entry) Row {
	c := &e.Call
	d := decisionOf(e)
	r := Row{
		CallID: c.ID, Opened: c.Opening.Time, Closed: c.Closing.Time, Tenant: e.Tenant, Domain: c.Domain, Tool: c.Intent.Tool,
		Issuer: c.Intent.Identity.Issuer, Principal: c.Intent.Identity.Principal, Roles: strings.Join(c.Intent.Identity.Roles, " "),
		Agents: strings.Join(agents(e), " "), Session: c.Intent.Identity.Session, Client: c.Intent.Client,
		Effect: string(d.Effect), Policies: strings.Join(policies(d), " "), Reason: c.Outcome.Reason,
		Outcome: outcome(e), Code: c.Outcome.Code, Millis: c.Outcome.Millis,
		Arguments: c.Intent.Arguments.Digest, PolicySet: d.PolicySet, Trace: traceID(c.Opening.Trace),
		Log: e.At.Log, Index: e.At.Index, Leaf: hex.EncodeToString(e.Leaf[:]),
	}
	for _, v := range c.Votes {
		r.Approvers = strings.TrimSpace(r.Approvers + " " + v.By.Principal)
	}
	if c.Outcome.Output != nil {
		r.Output = c.Outcome.Output.Digest
	}
	return r
}

// decisionOf is what policy said when the call was made.
func decisionOf(e *Entry) audit.Decision {
	if e.Call.Intent.Decision.Effect == "" && e.Call.Outcome.Decision != nil {
		return *e.Call.Outcome.Decision
	}
	return e.Call.Intent.Decision
}

func agents(e *Entry) []string {
	var ids []string
	for _, a := range e.Call.Intent.Identity.Chain {
		ids = append(ids, a.ID)
	}
	return ids
}

func policies(d audit.Decision) []string {
	var ids []string
	seen := map[string]bool{}
	for _, r := range d.Reasons {
		if r.Policy != "" && !seen[r.Policy] {
			seen[r.Policy] = true
			ids = append(ids, r.Policy)
		}
	}
	return ids
}

// outcome is how the call ended, or where it stands.
func outcome(e *Entry) string {
	const prefix, suffix = "dev.deed.call.", ".v1"
	if e.Call.Open() {
		return e.Call.State.String()
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(e.Call.Closing.Type), prefix), suffix)
}

// traceID and spanID are those of a W3C traceparent.
func traceID(traceparent string) string { return tracePart(traceparent, 1, 32) }
func spanID(traceparent string) string  { return tracePart(traceparent, 2, 16) }

func tracePart(traceparent string, n, length int) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) != 4 || len(parts[n]) != length || strings.Trim(parts[n], "0123456789abcdef") != "" {
		return ""
	}
	return parts[n]
}

// started is when the call was made.
func started(e *Entry) time.Time { return e.Call.Opening.Time }

// Ended is when the call ended, or the latest that is known of it.
func (e *Entry) Ended() time.Time {
	for _, t := range []time.Time{e.Call.Closing.Time, e.Call.Releasing.Time} {
		if !t.IsZero() {
			return t
		}
	}
	return e.Call.Opening.Time
}
