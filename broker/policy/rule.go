package policy

import (
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"
)

// rule is one policy of a set.
type rule struct {
	annotations
	policy   *cedar.Policy
	body     *cedar.Policy // the same without its action scope, for where that is known to match
	file     string
	text     []byte // from the policy's first byte to the next policy's
	literals literals
	holds    bool // it looks at context.approvals
}

// rules are policies ordered by id, so that decisions come out the same whatever the order of files.
type rules []*rule

// All makes rules a [cedar.PolicyIterator] for an action that they all apply to.
func (rs rules) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range rs {
			if !yield(cedar.PolicyID(r.id), r.body) {
				return
			}
		}
	}
}

// permits are the rules that permit.
func (rs rules) permits() rules {
	return slices.DeleteFunc(slices.Clone(rs), func(r *rule) bool { return r.policy.Effect() != cedar.Permit })
}

func (rs rules) reads() *reads {
	var all reads
	for _, r := range rs {
		markReads(r.policy, &all)
	}
	return &all
}

// find returns the rule with an id that is known to be among rs.
func (rs rules) find(id cedar.PolicyID) *rule {
	i, _ := slices.BinarySearchFunc(rs, string(id), func(r *rule, id string) int { return strings.Compare(r.id, id) })
	return rs[i]
}

// finding places a message about r: at the first of needles that the policy's text has, else at its beginning.
func (r *rule) finding(severity Severity, message, hint string, needles ...string) Finding {
	pos := r.policy.Position()
	f := Finding{
		Severity: severity, File: r.file, Line: pos.Line, Column: pos.Column,
		Policy: r.id, Message: message, Hint: hint,
	}
	for _, needle := range needles {
		before, _, ok := strings.Cut(string(r.text), needle)
		if !ok {
			continue
		}
		before += needle[:len(needle)-len(strings.TrimLeft(needle, ". "))]
		f.Line += strings.Count(before, "\n")
		if last := strings.LastIndexByte(before, '\n'); last >= 0 {
			f.Column = 1 + utf8.RuneCountInString(before[last+1:])
		} else {
			f.Column += utf8.RuneCountInString(before)
		}
		return f
	}
	return f
}

// parse reads the policies of files.
func parse(files []File) (rules, Findings) {
	var all rules
	var found Findings
	for _, file := range byName(files) {
		list, err := cedar.NewPolicyListFromBytes(file.Name, file.Text)
		if err != nil {
			found = append(found, syntaxFinding(file.Name, err))
			continue
		}
		for i, p := range list {
			end := len(file.Text)
			if i+1 < len(list) {
				end = list[i+1].Position().Offset
			}
			r := &rule{policy: p, body: anyAction(p), file: file.Name, text: file.Text[p.Position().Offset:end], literals: literalsOf(p)}
			found = append(found, r.annotate(i+1)...)
			all = append(all, r)
		}
	}
	found = append(found, duplicates(all)...)
	slices.SortFunc(all, func(a, b *rule) int { return strings.Compare(a.id, b.id) })
	return all, found
}

func (r *rule) annotate(number int) Findings {
	var wrong []*fault
	r.annotations, wrong = readAnnotations(r.policy)
	if r.id == "" {
		r.id = fmt.Sprintf("%s#%d", r.file, number)
	}
	r.holds = (rules{r}).reads().of("approvals") != nil
	if !r.holds && (r.approvers != nil || r.expires != 0) {
		key := "approvers"
		if r.approvers == nil {
			key = "expires"
		}
		wrong = append(wrong, &fault{
			key, "@" + key + " on a policy that approvals cannot lift",
			"it needs a condition on context.approvals, such as unless { context.approvals.count >= 1 }",
		})
	}
	var found Findings
	for _, w := range wrong {
		found = append(found, r.finding(Fatal, w.message, w.hint, "@"+w.key))
	}
	return found
}

func duplicates(all rules) Findings {
	var found Findings
	first := map[string]*rule{}
	for _, r := range all {
		other, taken := first[r.id]
		if !taken {
			first[r.id] = r
			continue
		}
		message := fmt.Sprintf("the id is taken by the policy at %s:%d", other.file, other.policy.Position().Line)
		found = append(found, r.finding(Fatal, message, "ids are unique over all files", "@id"))
	}
	return found
}

var (
	syntaxError = regexp.MustCompile(`(?s)^parser error: (?:parse error at )?<input>:(\d+):(\d+)[^:]*: (.*)$`)
	expected    = regexp.MustCompile(`(?s)^exact got (.*) want (.*)$`)
)

// syntaxFinding reads the place out of the parser's error, which has it in its text only.
func syntaxFinding(file string, err error) Finding {
	f := Finding{Severity: Fatal, File: file, Line: 1, Column: 1, Message: strings.TrimPrefix(err.Error(), "parser error: ")}
	if m := syntaxError.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1]) // digits, by the expression
		column, _ := strconv.Atoi(m[2])
		f.Line, f.Column = max(line, 1), max(column, 1) // 0 of a file that is not text at all
		f.Message = m[3]
	}
	if m := expected.FindStringSubmatch(f.Message); m != nil {
		f.Message = fmt.Sprintf("expected %q, found %q", m[2], m[1])
		if m[1] == "" {
			f.Message = fmt.Sprintf("expected %q, found the end of the file", m[2])
		}
	}
	return f
}
