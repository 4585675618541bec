package export

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

type csvFormat struct {
	w      *csv.Writer
	headed bool
}

var csvHead = []string{
	"call_id", "opened", "closed", "tenant", "domain", "tool", "issuer", "principal", "roles", "agents", "session", "client",
	"effect", "policies", "reason", "approvers", "outcome", "code", "duration_ms", "arguments_sha256", "output_sha256",
	"policy_set", "trace_id", "log", "index", "leaf_hash",
}

// NewCSV writes a table with a head. Text that a spreadsheet would take for a formula
// is quoted for it.
func NewCSV(w io.Writer) Format { return &csvFormat{w: csv.NewWriter(w)} }

// Call is part of [Format].
func (f *csvFormat) Call(e *Entry) error {
	if err := f.head(); err != nil {
		return err
	}
	r := RowOf(e)
	cells := []string{
		r.CallID, stamp(r.Opened), stamp(r.Closed), r.Tenant, r.Domain, r.Tool, r.Issuer, r.Principal, r.Roles, r.Agents, r.Session, r.Client,
		r.Effect, r.Policies, r.Reason, r.Approvers, r.Outcome, r.Code, strconv.FormatFloat(r.Millis, 'f', -1, 64), r.Arguments, r.Output,
		r.PolicySet, r.Trace, r.Log, strconv.FormatInt(r.Index, 10), r.Leaf,
	}
	for i, c := range cells {
		cells[i] = harmless(c)
	}
	if err := f.w.Write(cells); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	return nil
}

// Close is part of [Format].
func (f *csvFormat) Close() error {
	if err := f.head(); err != nil {
		return err
	}
	f.w.Flush()
	if err := f.w.Error(); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	return nil
}

func (f *csvFormat) head() error {
	if f.headed {
		return nil
	}
	f.headed = true
	if err := f.w.Write(csvHead); err != nil {
		return fmt.Errorf("write csv: %w", err)
	}
	return nil
}

// harmless keeps spreadsheets from computing what an agent wrote.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
