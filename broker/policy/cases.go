package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/deedbroker/deed/audit"
)

// Case is one expectation of what policies decide, for testing them as data:
// either of a call (Tool and Input), or of a person's own act (Action and Call).
type Case struct {
	Name   string      `yaml:"name"`
	As     string      `yaml:"as"`    // the user; empty for agents on their own
	Roles  []string    `yaml:"roles"` // of the user
	Agents []CaseAgent `yaml:"agents"`

	Tool      string         `yaml:"tool"`
	Input     map[string]any `yaml:"input"`
	Approvals CaseApprovals  `yaml:"approvals"`

	Action string   `yaml:"action"`
	Tier   Tier     `yaml:"tier"` // of reading
	Call   CaseCall `yaml:"call"`

	Recent map[string]int64 `yaml:"recent"` // values of counters; 0 unless given

	Scopes []string  `yaml:"scopes"`
	ACR    string    `yaml:"acr"`
	At     time.Time `yaml:"at"` // when; left out: the time that the cases run at

	Expect   audit.Effect `yaml:"expect"`
	Policies []string     `yaml:"policies"` // ids that must be among the reasons
}

// CaseAgent is an agent of a [Case], the current actor first.
type CaseAgent struct {
	ID         string   `yaml:"id"`
	Roles      []string `yaml:"roles"`
	Registered bool     `yaml:"registered"`
}

// CaseApprovals are the votes that a [Case] assumes.
type CaseApprovals struct {
	Count int      `yaml:"count"`
	Roles []string `yaml:"roles"`
}

// CaseCall is the call that the person of a [Case] acts on.
type CaseCall struct {
	Tool      string   `yaml:"tool"`
	Domain    string   `yaml:"domain"`
	Principal string   `yaml:"principal"`
	Agents    []string `yaml:"agents"`
	Approvers []string `yaml:"approvers"`
}

// ParseCases reads a YAML document with a list of cases under "cases". Unknown
// keys, a second document and cases that cannot be meant are errors.
func ParseCases(data []byte) ([]Case, error) {
	var document struct {
		Cases []Case `yaml:"cases"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict())
	if err := dec.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("parse cases: %w", err)
	}
	var second any
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("parse cases: there is a second document")
	}
	for i, c := range document.Cases {
		if err := c.valid(); err != nil {
			return nil, fmt.Errorf("parse cases: case %d %q: %w", i+1, c.Name, err)
		}
	}
	return document.Cases, nil
}

func (c Case) valid() error {
	switch {
	case c.Expect != audit.Allow && c.Expect != audit.Deny && c.Expect != audit.Hold:
		return fmt.Errorf("expect is %q: want allow, deny or hold", c.Expect)
	case (c.Tool == "") == (c.Action == ""):
		return errors.New("want either tool or action")
	case c.Tier != "" && (c.Action != ActionRead || !slices.Contains(Tiers(), c.Tier)):
		return fmt.Errorf("tier is %q: reading has the tiers metadata, arguments and results", c.Tier)
	case c.Action != "" && (len(c.Agents) > 0 || c.Expect == audit.Hold || c.Call.Tool == ""):
		return errors.New("an action is a person's on a call: it has no agents, is never held, and needs call.tool")
	}
	return nil
}

// CaseResult is what came of one case.
type CaseResult struct {
	Case     Case
	Decision audit.Decision
	Problem  string // empty if the case holds
}

// RunCases decides every case by s; those without a time at now.
func RunCases(s *Set, cases []Case, now time.Time) []CaseResult {
	results := make([]CaseResult, len(cases))
	for i, c := range cases {
		if c.At.IsZero() {
			c.At = now
		}
		results[i] = CaseResult{Case: c, Decision: c.decide(s)}
		results[i].Problem = c.compare(results[i].Decision)
	}
	return results
}

func (c Case) decide(s *Set) audit.Decision {
	var links []Link
	if c.As != "" {
		links = append(links, Link{Kind: User, ID: c.As, Roles: c.Roles})
	}
	for _, a := range c.Agents {
		links = append(links, Link{Kind: Agent, ID: a.ID, Roles: a.Roles, Registered: a.Registered})
	}
	expires := c.At.Add(time.Hour)
	if c.Action != "" {
		call := OnCall{
			ID: "case", Tool: c.Call.Tool, Domain: c.Call.Domain, Principal: c.Call.Principal,
			Agents: c.Call.Agents, Approvers: c.Call.Approvers,
		}
		person := Link{Kind: User, ID: c.As, Roles: c.Roles}
		return s.Permits(Ask{Person: person, Action: c.Action, Tier: c.Tier, On: call, Scopes: c.Scopes, ACR: c.ACR, TokenExpires: expires, Now: c.At})
	}
	input, text, err := caseInput(c.Input)
	if err != nil {
		return s.refuse(err)
	}
	// The error, if there is one, is in the decision too.
	d, _ := s.Decide(Request{
		Tool: c.Tool, Links: links, Input: input, Text: text, Scopes: c.Scopes, ACR: c.ACR,
		TokenExpires: expires, Now: c.At, Approvals: Approvals{Count: c.Approvals.Count, Roles: c.Approvals.Roles}, Recent: c.recent(s),
	})
	return d
}

// recent are the values of the set's counters that the case assumes.
func (c Case) recent(s *Set) map[string]int64 {
	values := map[string]int64{}
	for _, counter := range s.Counters() {
		values[counter.Name] = c.Recent[counter.Name]
	}
	return values
}

// caseInput makes of YAML what decoding JSON arguments gives.
func caseInput(input map[string]any) (decoded any, text string, err error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(jsonNumbers(input)); err != nil {
		return nil, "", fmt.Errorf("input of the case: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(b.Bytes()))
	dec.UseNumber()
	if err := dec.Decode(&decoded); err != nil {
		return nil, "", fmt.Errorf("input of the case: %w", err)
	}
	return decoded, strings.TrimSpace(b.String()), nil
}

// jsonNumbers copies v and replaces floating-point numbers by their shortest decimal form, never an exponent's.
func jsonNumbers(v any) any {
	switch value := v.(type) {
	case map[string]any:
		object := make(map[string]any, len(value))
		for k, inner := range value {
			object[k] = jsonNumbers(inner)
		}
		return object
	case []any:
		list := make([]any, len(value))
		for i, inner := range value {
			list[i] = jsonNumbers(inner)
		}
		return list
	case float64:
		return json.Number(strconv.FormatFloat(value, 'f', -1, 64))
	}
	return v
}

func (c Case) compare(d audit.Decision) string {
	var problems []string
	if d.Effect != c.Expect {
		problems = append(problems, fmt.Sprintf("decided %s, expected %s", d.Effect, c.Expect)+by(d.Reasons))
	}
	for _, id := range c.Policies {
		if !slices.ContainsFunc(d.Reasons, func(r audit.Reason) bool { return r.Policy == id }) {
			problems = append(problems, fmt.Sprintf("policy %s did not determine it", id))
		}
	}
	if len(problems) == 0 {
		return ""
	}
	return strings.Join(append(problems, d.Errors...), "; ")
}

// by says what a decision comes from, so that one sees why a case fails.
func by(reasons []audit.Reason) string {
	var said []string
	for _, r := range reasons {
		one := r.Effect + " " + r.Policy
		if r.Effect == "none" {
			one = "nothing permits it"
		}
		if r.Link != "" {
			one += " for " + r.Link
		}
		said = append(said, one)
	}
	if len(said) == 0 {
		return ""
	}
	return " (" + strings.Join(said, ", ") + ")"
}
