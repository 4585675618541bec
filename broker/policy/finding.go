package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a [Finding] means for the set that it was found in.
type Severity uint8

// The severities.
const (
	// Fatal: there is no set; the one in force stays.
	Fatal Severity = iota + 1
	// Quarantine: the tools named were left out of the set, see [Options].
	Quarantine
	// Warning: the set is sound, and probably not what its author meant.
	Warning
)

// String is the word that goes before a finding.
func (s Severity) String() string {
	switch s {
	case Fatal:
		return "error"
	case Quarantine:
		return "quarantine"
	case Warning:
		return "warning"
	default:
		return fmt.Sprintf("severity %d", uint8(s))
	}
}

// Finding is one thing wrong with policies, or between them and the tools.
type Finding struct {
	Severity     Severity
	File         string // empty when it is about a tool alone
	Line, Column int    // from 1; column in characters; 0 when there is no place
	Policy       string // id
	Message      string
	Hint         string   // what to do about it; may be empty
	Tools        []string // upstream.tool, sorted: whom it concerns; empty for the policy by itself
}

// String is "file:line:column: severity: policy: message (hint)".
func (f Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		fmt.Fprintf(&b, "%s:%d:%d: ", f.File, f.Line, f.Column)
	}
	b.WriteString(f.Severity.String() + ": ")
	if f.Policy != "" {
		b.WriteString(f.Policy + ": ")
	}
	b.WriteString(f.Message)
	if f.Hint != "" {
		b.WriteString(" (" + f.Hint + ")")
	}
	return b.String()
}

// FindingError is a fatal finding as an error.
type FindingError struct{ Finding }

// Error is the finding's String.
func (e *FindingError) Error() string { return e.String() }

// Findings are all that [Compile] found, by file and line.
type Findings []Finding

// Err joins the fatal findings, each as a [*FindingError]; nil if there are none.
func (fs Findings) Err() error {
	var errs []error
	for _, f := range fs {
		if f.Severity == Fatal {
			errs = append(errs, &FindingError{f})
		}
	}
	return errors.Join(errs...)
}

// About returns the findings that concern tool.
func (fs Findings) About(tool string) Findings {
	var about Findings
	for _, f := range fs {
		if slices.Contains(f.Tools, tool) {
			about = append(about, f)
		}
	}
	return about
}

func (fs Findings) sort() {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Message, b.Message),
		)
	})
}
