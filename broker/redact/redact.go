package redact

import (
	"errors"
	"slices"
	"strings"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/secrets"
)

// Secrets is what is done with secrets that are found.
type Secrets string

// The ways to treat secrets.
const (
	RedactSecrets Secrets = "redact" // marks stand in their place, and they are counted in the event
	FlagSecrets   Secrets = "flag"   // they are counted alone
	KeepSecrets   Secrets = "off"    // nobody looks for them
)

// Rules are those of one domain.
type Rules struct {
	Fields  []Pattern
	Secrets Secrets
	Finder  *secrets.Finder // of secrets; not needed if nobody looks for them
}

// Recorded is what is put on record of a text.
type Recorded struct {
	Body     []byte
	Redacted *audit.Redaction // nil if it is the text itself
	Secrets  []audit.Matched  // that were found, by rule
}

// unreadable stands for a text that is not the JSON that it should be.
const unreadable = `"[redacted: not readable]"`

// Arguments are what is recorded of what a call is made with.
func (r *Rules) Arguments(body []byte) (Recorded, error) { return r.record(body, false) }

// Answer is what is recorded of what a tool answers.
func (r *Rules) Answer(body []byte) (Recorded, error) { return r.record(body, true) }

func (r *Rules) record(body []byte, answer bool) (Recorded, error) {
	if r == nil {
		return Recorded{Body: body}, nil
	}
	out := Recorded{Body: body}
	var counts tally
	if len(r.Fields) > 0 {
		w := fields{edit: newEdit(body), patterns: r.Fields, answer: answer, counts: &counts}
		if err := w.all(); err != nil {
			out.Body = []byte(unreadable)
			counts.add("not readable")
		} else {
			out.Body = w.edit.done()
		}
	}
	if r.Secrets == RedactSecrets || r.Secrets == FlagSecrets {
		found, err := r.Finder.Find(string(out.Body))
		if err != nil {
			return Recorded{}, err
		}
		for _, f := range found {
			out.Secrets = added(out.Secrets, f.Rule)
		}
		if r.Secrets == RedactSecrets && len(found) > 0 {
			out.Body = cut(out.Body, found, &counts)
		}
	}
	if len(counts) > 0 {
		out.Redacted = &audit.Redaction{Exact: audit.NewPayload("", body).Commitment(), Fields: counts}
	}
	return out, nil
}

// tally counts what was redacted, by rule.
type tally []audit.Matched

func (t *tally) add(rule string) { *t = added(*t, rule) }

// added counts one more, in the order of the rules' names.
func added(counts []audit.Matched, rule string) []audit.Matched {
	i, there := slices.BinarySearchFunc(counts, rule, func(m audit.Matched, rule string) int { return strings.Compare(m.Rule, rule) })
	if !there {
		counts = slices.Insert(counts, i, audit.Matched{Rule: rule})
	}
	counts[i].N++
	return counts
}

// Words says what was redacted, for people.
func Words(r *audit.Redaction) string {
	if r == nil {
		return ""
	}
	rules := make([]string, len(r.Fields))
	for i, f := range r.Fields {
		rules[i] = f.Rule
	}
	return strings.Join(rules, ", ")
}

// Parse reads the patterns of a domain.
func Parse(texts []string) (patterns []Pattern, err error) {
	for _, text := range texts {
		p, wrong := ParsePattern(text)
		patterns, err = append(patterns, p), errors.Join(err, wrong)
	}
	return patterns, err
}
