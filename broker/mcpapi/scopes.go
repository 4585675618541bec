package mcpapi

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
)

// Scopes are those that tokens must have. The zero value asks for none.
type Scopes struct {
	Required  []string            // of every request
	Upstreams map[string][]string // of every call of a tool of the upstream, beside Required
	Tools     map[string][]string // of every call of the tool upstream.tool, beside those of its upstream
	Includes  map[string][]string // scopes that stand for others too
}

var scopeForm = regexp.MustCompile(`^[!#-\[\]-~]+$`) // RFC 6749 appendix A.4

func (s Scopes) check() error {
	for _, name := range s.all() {
		if !scopeForm.MatchString(name) {
			return fmt.Errorf("scope %q is not one by RFC 6749", name)
		}
	}
	return nil
}

// all is every scope that can be asked for, sorted.
func (s Scopes) all() []string {
	names := slices.Clone(s.Required)
	for _, of := range []map[string][]string{s.Upstreams, s.Tools, s.Includes} {
		for _, list := range of {
			names = append(names, list...)
		}
	}
	names = slices.AppendSeq(names, maps.Keys(s.Includes))
	slices.Sort(names)
	return slices.Compact(names)
}

// of is every scope that can be asked for at one upstream's path, sorted.
func (s Scopes) of(upstream string) []string {
	names := union(s.Required, s.Upstreams[upstream])
	for tool, more := range s.Tools {
		if strings.HasPrefix(tool, upstream+".") {
			names = union(names, more)
		}
	}
	return names
}

// challenge is what a token for a path should have: the least that is of use there.
func (s Scopes) challenge(upstream string) string {
	return strings.Join(union(s.Required, s.Upstreams[upstream]), " ")
}

// needs are the scopes that a call of t needs; nil is for what is no tool.
func (s Scopes) needs(t *tools.Tool) []string {
	if t == nil {
		return s.Required
	}
	return union(s.Required, s.Upstreams[t.Upstream], s.Tools[t.Name()])
}

// lacking are those of needed that the token neither has nor has another one for.
func (s Scopes) lacking(id *agents.Identity, needed []string) []string {
	var lacks []string
	granted := s.expand(id.Scopes)
	for _, name := range needed {
		if !granted[name] {
			lacks = append(lacks, name)
		}
	}
	return lacks
}

// expand follows Includes, to the end.
func (s Scopes) expand(names []string) map[string]bool {
	granted := map[string]bool{}
	for pending := slices.Clone(names); len(pending) > 0; {
		name := pending[0]
		pending = pending[1:]
		if !granted[name] {
			granted[name] = true
			pending = append(pending, s.Includes[name]...)
		}
	}
	return granted
}

func union(lists ...[]string) []string {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

// stepUp is the challenge to a token that lacks scopes (RFC 6750 section 3.1). It names
// all that the operation needs, and those of the token that count here, so that a
// client which asks for exactly these loses nothing.
func (h *Handler) stepUp(r *http.Request, id *agents.Identity, needed []string) string {
	var kept []string
	for _, name := range id.Scopes {
		if slices.Contains(h.known, name) {
			kept = append(kept, name)
		}
	}
	return `Bearer error="insufficient_scope", scope="` + strings.Join(union(needed, kept), " ") +
		`", resource_metadata="` + h.metadataURL(r) + `", error_description="the token lacks scopes that this needs"`
}

// requireScopes answers a request whose token lacks what every request needs.
func (h *Handler) requireScopes(w http.ResponseWriter, r *http.Request, id *agents.Identity) bool {
	needed := h.cfg.Scopes.Required
	if len(h.cfg.Scopes.lacking(id, needed)) == 0 {
		return true
	}
	h.cfg.Reject(r.Context(), &agents.Rejection{Kind: agents.InsufficientScope, Issuer: id.Issuer})
	w.Header().Set("WWW-Authenticate", h.stepUp(r, id, needed))
	problem(w, http.StatusForbidden, "denied", "the token lacks scopes that every request here needs: "+strings.Join(needed, " "))
	return false
}

// insufficient answers a call whose token lacks scopes, after the refusal was recorded.
func (h *Handler) insufficient(v *invocation, e *broker.Error) {
	v.w.Header().Set("WWW-Authenticate", h.stepUp(v.r, v.in.identity, v.needed))
	v.out.finish(http.StatusForbidden, failure(v.m.id, &fault{code: mcp.INVALID_REQUEST, public: e.Public, data: refusalOf(e)}))
}
