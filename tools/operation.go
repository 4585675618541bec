package tools

import (
	"encoding/json"
	"slices"
	"sync"
)

// MethodCall is the MCP method that runs a tool.
const MethodCall = "tools/call"

// The MCP methods beyond tools that an upstream may take. To policies, approvals
// and the record each is an action beside the upstream's tools; what it is called
// there stands behind it.
const (
	MethodReadResource = "resources/read"      // read_resource
	MethodSubscribe    = "resources/subscribe" // subscribe_resource
	MethodGetPrompt    = "prompts/get"         // get_prompt
	MethodComplete     = "completion/complete" // complete
)

// Features are what of MCP beyond tools a server declares that it has.
type Features struct {
	Resources   bool
	Subscribe   bool // to changes of resources
	Prompts     bool
	Completions bool
}

// operation is an MCP method as an action with a definition like that of a tool.
type operation struct {
	method     string
	offered    func(Features) bool
	definition Definition
}

// operations are all that the broker knows of.
var operations = sync.OnceValue(func() []operation { //nolint:gochecknoglobals // a constant
	return []operation{
		{MethodReadResource, func(f Features) bool { return f.Resources }, defined(`{"name":"read_resource",` +
			`"description":"Reads a resource (MCP resources/read).",` +
			`"inputSchema":{"type":"object","properties":{"uri":{"type":"string","minLength":1}},"required":["uri"]},` +
			`"annotations":{"readOnlyHint":true}}`)},
		{MethodSubscribe, func(f Features) bool { return f.Subscribe }, defined(`{"name":"subscribe_resource",` +
			`"description":"Asks to be told when a resource changes (MCP resources/subscribe).",` +
			`"inputSchema":{"type":"object","properties":{"uri":{"type":"string","minLength":1}},"required":["uri"]},` +
			`"annotations":{"readOnlyHint":true,"idempotentHint":true}}`)},
		{MethodGetPrompt, func(f Features) bool { return f.Prompts }, defined(`{"name":"get_prompt",` +
			`"description":"Gets a prompt, filled in with arguments (MCP prompts/get).",` +
			`"inputSchema":{"type":"object","properties":{"name":{"type":"string","minLength":1},` +
			`"arguments":{"type":"object","additionalProperties":{"type":"string"}}},"required":["name"]},` +
			`"annotations":{"readOnlyHint":true}}`)},
		{MethodComplete, func(f Features) bool { return f.Completions }, defined(`{"name":"complete",` +
			`"description":"Suggests values for an argument of a prompt or a resource template (MCP completion/complete).",` +
			`"inputSchema":{"type":"object","properties":{` +
			`"ref":{"type":"object","properties":{"type":{"type":"string"},"name":{"type":"string"},"uri":{"type":"string"}},"required":["type"]},` +
			`"argument":{"type":"object","properties":{"name":{"type":"string"},"value":{"type":"string"}},"required":["name","value"]},` +
			`"context":{"type":"object"}},"required":["ref","argument"]},` +
			`"annotations":{"readOnlyHint":true}}`)},
	}
})

// defined reads a definition of this file.
func defined(raw string) Definition {
	d, err := ParseDefinition(json.RawMessage(raw))
	if err != nil {
		panic(err) // a constant of this file is malformed
	}
	return d
}

// OperationName is the action's name, without its upstream, of an MCP method beyond
// tools; ok is false for other methods.
func OperationName(method string) (name string, ok bool) {
	for _, o := range operations() {
		if o.method == method {
			return o.definition.Name, true
		}
	}
	return "", false
}

// methodOf is the method that runs what a definition describes.
func methodOf(d Definition) string {
	for _, o := range operations() {
		if o.definition.Digest == d.Digest {
			return o.method
		}
	}
	return MethodCall
}

// withOperations adds what features offer to the definitions of an upstream's tools.
// A tool keeps its name: the operation of that name is then left out, with a note.
func withOperations(raws []json.RawMessage, f Features) (all []json.RawMessage, notes []string) {
	taken := map[string]bool{}
	for _, raw := range raws {
		if d, err := ParseDefinition(raw); err == nil {
			taken[d.Name] = true
		}
	}
	all = slices.Clip(raws)
	for _, o := range operations() {
		switch {
		case !o.offered(f):
		case taken[o.definition.Name]:
			notes = append(notes, o.method+" is not available: a tool of the upstream is called "+o.definition.Name)
		default:
			all = append(all, o.definition.Raw)
		}
	}
	return all, notes
}
