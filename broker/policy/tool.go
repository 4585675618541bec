package policy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// Tool is a tool as policies see it: a Cedar action.
type Tool struct {
	Upstream    string // [a-z0-9-]+, and none of [ReservedNames]
	Domain      string
	Name        string          // the upstream's own name of the tool
	InputSchema json.RawMessage // JSON Schema; empty for a tool without arguments
	Annotations Annotations
}

// ID is upstream.tool: the tool's name everywhere, and the id of its action.
func (t Tool) ID() string { return t.Upstream + "." + t.Name }

// Annotations are what the upstream claims about a tool (MCP ToolAnnotations). Nil means not said.
type Annotations struct {
	ReadOnly    *bool
	Destructive *bool
	Idempotent  *bool
	OpenWorld   *bool
}

// record is context.tool. What was not said takes the defaults of MCP, which
// assume the worst; destructive means nothing for a tool that only reads.
func (t Tool) record() cedar.Record {
	readOnly := said(t.Annotations.ReadOnly, false)
	return cedar.NewRecord(cedar.RecordMap{
		"name":        cedar.String(t.Name),
		"readOnly":    cedar.Boolean(readOnly),
		"destructive": cedar.Boolean(said(t.Annotations.Destructive, !readOnly)),
		"idempotent":  cedar.Boolean(said(t.Annotations.Idempotent, false)),
		"openWorld":   cedar.Boolean(said(t.Annotations.OpenWorld, true)),
	})
}

func said(hint *bool, otherwise bool) bool {
	if hint == nil {
		return otherwise
	}
	return *hint
}

// The actions of people.
const (
	ActionApprove = "approve" // vote on a held call
	ActionErase   = "erase"   // erase the arguments and results of calls
	ActionGrant   = "grant"   // approve calls like a held one in advance
	ActionRead    = "read"    // see calls, agents, tools and the records of a domain
	ActionRevoke  = "revoke"  // stop an agent or a user
	ActionRotate  = "rotate"  // give the key that seals the log a successor
	ActionReview  = "review"  // lift a tool's quarantine; say what became of an unknown call

	ActionLegalHold = "legal-hold" // keep records from retention and erasure, and let them go again
)

// callGroup is the action that every tool is in.
const callGroup = "call"

// ReservedNames are the names that no upstream may have, since they are actions already.
func ReservedNames() []string {
	return []string{ActionApprove, callGroup, "deed", ActionErase, ActionGrant, ActionLegalHold, ActionRead, ActionReview, ActionRevoke, ActionRotate}
}

var upstreamName = regexp.MustCompile(`^[a-z0-9-]+$`)

// checkTools finds what makes a list of tools unusable.
func checkTools(tools []Tool) Findings {
	var found Findings
	report := func(t Tool, format string, args ...any) {
		found = append(found, Finding{Severity: Fatal, Message: fmt.Sprintf(format, args...), Tools: []string{t.ID()}})
	}
	seen := map[string]bool{}
	domains := map[string]string{}
	for _, t := range tools {
		switch {
		case !upstreamName.MatchString(t.Upstream):
			report(t, "upstream name %q is not of the form [a-z0-9-]+", t.Upstream)
		case slices.Contains(ReservedNames(), t.Upstream):
			report(t, "upstream name %q is reserved", t.Upstream)
		case t.Name == "":
			report(t, "a tool of upstream %q has no name", t.Upstream)
		case t.Domain == "":
			report(t, "upstream %q has no domain", t.Upstream)
		case seen[t.ID()]:
			report(t, "tool %q is there twice", t.ID())
		case domains[t.Upstream] != "" && domains[t.Upstream] != t.Domain:
			report(t, "upstream %q is in two domains, %q and %q", t.Upstream, domains[t.Upstream], t.Domain)
		}
		seen[t.ID()] = true
		domains[t.Upstream] = t.Domain
	}
	return found
}

func uid(typ cedar.EntityType, id string) cedar.EntityUID {
	return cedar.NewEntityUID(typ, cedar.String(id))
}

func actionUID(id string) cedar.EntityUID { return uid("Action", id) }

func upstreamOf(tool string) string {
	upstream, _, _ := strings.Cut(tool, ".")
	return upstream
}
