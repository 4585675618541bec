package topics

import "encoding/json"

// Verb is what a step does.
type Verb string

// The verbs. None of them deletes anything but permissions and settings.
const (
	Create     Verb = "create"     // the object; a topic with To partitions
	Administer Verb = "administer" // the tenant's admins become To
	Set        Verb = "set"        // Policy of the object to To; to the namespace's or the cluster's if To is nil
	Describe   Verb = "describe"   // the topic's schema becomes To
	Grant      Verb = "grant"      // Role may do To with the object, and nothing else
	Revoke     Verb = "revoke"     // Role may do nothing with the object
)

// Step is one change of a cluster.
type Step struct {
	Verb   Verb
	Object Object
	Policy Policy // of Set
	Role   string // of Grant and Revoke
	From   Value  // what is there; nil for nothing
	To     Value

	// Erases says which messages Pulsar may delete after this step and could not before.
	Erases string
}

// String is the step in words.
func (s Step) String() string {
	text := string(s.Verb) + " " + s.Object.String() + s.detail()
	if s.Erases != "" {
		text += " [" + s.Erases + "]"
	}
	return text
}

func (s Step) detail() string {
	switch s.Verb {
	case Set:
		return " " + string(s.Policy) + ": " + words(s.From) + " → " + words(s.To)
	case Administer, Describe:
		return ": " + words(s.From) + " → " + words(s.To)
	case Grant, Revoke:
		return " to " + s.Role + ": " + words(s.From) + " → " + words(s.To)
	case Create:
		if s.To != nil {
			return " (" + s.To.String() + ")"
		}
	}
	return ""
}

// About is what of the object the step changes: a policy, or what a role may do.
func (s Step) About() string {
	switch s.Verb {
	case Set:
		return string(s.Policy)
	case Grant, Revoke:
		return "role " + s.Role
	case Administer:
		return "admins"
	case Describe:
		return "schema"
	case Create:
		return ""
	default:
		return ""
	}
}

// MarshalJSON writes values as words.
func (s Step) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Verb   Verb   `json:"verb"`
		Object string `json:"object"`
		Policy Policy `json:"policy,omitempty"`
		Role   string `json:"role,omitempty"`
		From   string `json:"from,omitempty"`
		To     string `json:"to,omitempty"`
		Erases string `json:"erases,omitempty"`
	}{s.Verb, s.Object.String(), s.Policy, s.Role, said(s.From), said(s.To), s.Erases})
}

// What is From and To in a table.
func words(v Value) string {
	if v == nil {
		return "(not set)"
	}
	return v.String()
}

func said(v Value) string {
	if v == nil {
		return ""
	}
	return v.String()
}
