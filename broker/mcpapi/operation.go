package mcpapi

import (
	"net/http"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

// At /mcp, where many upstreams share one endpoint, the URIs of resources begin with
// the upstream's name and a plus sign, and prompts are named like tools. At
// /mcp/{upstream} they are the upstream's own.

const uriSeparator = "+"

// operate answers a method that is an action beside the upstream's tools.
func (h *Handler) operate(v *invocation) {
	if f := h.address(v); f != nil {
		h.refuse(v.w, http.StatusBadRequest, v.m, f)
		return
	}
	h.invoke(v)
}

// address finds the action that v calls, and with which arguments: the params,
// but for what belongs to the protocol, with the names that the upstream knows.
func (h *Handler) address(v *invocation) *fault {
	if v.modern() {
		if f := checkModern(v.r.Header, v.m); f != nil {
			return f
		}
	}
	var upstream string
	args := []byte{'{'}
	r := newReader(v.m.params)
	if v.m.params == nil {
		r = newReader([]byte("{}"))
	}
	err := r.members(nil, func(name string) error {
		value, err := r.value()
		if err != nil {
			return err
		}
		switch name {
		case "_meta", "inputResponses", "requestState", "task":
			return nil
		case "uri", "name", "ref":
			if upstream, value, err = h.own(v, name, value); err != nil {
				return err
			}
		}
		if len(args) > 1 {
			args = append(args, ',')
		}
		args = append(append(appendText(args, name), ':'), value...)
		return nil
	})
	if err != nil {
		return asFault(err)
	}
	v.arguments = append(args, '}')
	operation, _ := tools.OperationName(v.method)
	v.name, v.upstream = tools.QualifiedName(upstream, operation), upstream
	t, err := h.cfg.Tools.Lookup(v.name)
	v.tool = foundTool(t, err)
	return nil
}

// own gives the upstream of what a client names, and the name that the upstream knows.
func (h *Handler) own(v *invocation, member string, value jsontext.Value) (string, jsontext.Value, error) {
	switch {
	case member == "ref":
		return h.ownRef(v, value)
	case member == "uri" && (v.method == tools.MethodReadResource || v.method == tools.MethodSubscribe):
		return rewritten(value, func(uri string) (string, string) { return h.ownURI(v.in, uri) })
	case member == "name" && v.method == tools.MethodGetPrompt:
		return rewritten(value, func(name string) (string, string) { return h.ownPrompt(v.in, name) })
	default:
		return v.in.upstream, value, nil
	}
}

// ownRef is own for the reference of a completion.
func (h *Handler) ownRef(v *invocation, ref jsontext.Value) (upstream string, _ jsontext.Value, _ error) {
	r := newReader(ref)
	b := []byte{'{'}
	err := r.members(nil, func(name string) error {
		value, err := r.value()
		if err != nil {
			return err
		}
		switch name {
		case "uri":
			upstream, value, err = rewritten(value, func(uri string) (string, string) { return h.ownURI(v.in, uri) })
		case "name":
			upstream, value, err = rewritten(value, func(name string) (string, string) { return h.ownPrompt(v.in, name) })
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(appendText(b, name), ':'), value...)
		return err
	})
	return upstream, append(b, '}'), err
}

func rewritten(value jsontext.Value, own func(string) (string, string)) (upstream string, _ jsontext.Value, _ error) {
	var text string
	if err := jsonv2.Unmarshal(value, &text); err != nil {
		return "", nil, invalidParams("a name or URI must be a string")
	}
	upstream, known := own(text)
	return upstream, appendText(nil, known), nil
}

// ownURI finds whose resource a URI names. One without an upstream's name before it, as
// in the results of tools, means the only upstream that has resources, if there is one.
func (h *Handler) ownURI(in *inbound, uri string) (upstream, own string) {
	if in.upstream != "" {
		return in.upstream, uri
	}
	names := h.cfg.Upstreams()
	if name, rest, ok := strings.Cut(uri, uriSeparator); ok && slices.Contains(names, name) {
		return name, rest
	}
	var only string
	for _, name := range names {
		if !h.cfg.Tools.Features(name).Resources {
			continue
		}
		if only != "" {
			return "", uri
		}
		only = name
	}
	return only, uri
}

// ownPrompt finds whose prompt a name means. Names that were cut short are looked up where they were listed.
func (h *Handler) ownPrompt(in *inbound, name string) (upstream, own string) {
	if in.upstream != "" {
		return in.upstream, name
	}
	if known, ok := h.listed.prompt(name); ok {
		return known.upstream, known.name
	}
	if upstream, prompt, ok := strings.Cut(name, "__"); ok {
		return upstream, prompt
	}
	return "", name
}

// publicURI is what a client at this path calls a resource.
func (in *inbound) publicURI(upstream, uri string) string {
	if in.upstream != "" {
		return uri
	}
	return upstream + uriSeparator + uri
}

// cacheable reports whether the results of a method say how long they may be kept, since revision 2026-07-28.
func cacheable(method string) bool { return method == string(mcp.MethodResourcesRead) }
