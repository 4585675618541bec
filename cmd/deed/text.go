package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// plain is foreign text fit for one line of a terminal: whatever could move the
// cursor, colour or reorder what stands there is escaped.
func plain(s string) string { return escape(s, "") }

// multiline is plain that leaves line breaks and tabs alone.
func multiline(s string) string { return escape(s, "\n\t") }

func escape(s, keep string) string {
	clean := func(r rune) bool { return unicode.IsPrint(r) || strings.ContainsRune(keep, r) }
	if strings.IndexFunc(s, func(r rune) bool { return !clean(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case clean(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// cut is plain text of at most n characters.
func cut(s string, n int) string {
	runes := []rune(plain(s))
	if len(runes) <= n {
		return string(runes)
	}
	return string(runes[:n-1]) + "…"
}

// prettyJSON is a JSON value indented, for people.
func prettyJSON(raw []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return multiline(string(raw))
	}
	return multiline(b.String())
}

// indent puts a margin of two spaces before each line.
func indent(text string) string {
	const margin = "  "
	return margin + strings.ReplaceAll(text, "\n", "\n"+margin)
}

// table writes rows in columns. Cells must be plain.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, head ...string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(head) > 0 {
		t.row(head...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	_, _ = io.WriteString(t.w, strings.Join(cells, "\t")+"\n") // as in environment.printf
}

func (t *table) flush() { _ = t.w.Flush() } // as in environment.printf

// when is a time for people: of day if it is today's.
func when(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}

// left is how long there is until t, for people.
func left(t, now time.Time) string {
	d := t.Sub(now)
	switch {
	case t.IsZero():
		return ""
	case d <= 0:
		return "over"
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// on whose behalf, through whom: "alice via copilot, sub-agent".
func parties(principal string, chain []string) string {
	agents := plain(strings.Join(chain, ", "))
	switch {
	case principal == "":
		return agents
	case len(chain) == 0:
		return plain(principal)
	default:
		return plain(principal) + " via " + agents
	}
}
