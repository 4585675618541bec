package mcpapi

import (
	"net/http"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

// awaitTool is the broker's own tool, and its definition.
const (
	awaitTool       = "deed__await"
	awaitDefinition = `{"name":"` + awaitTool + `","title":"Await a held call",` +
		`"description":"Waits for the outcome of a call that was answered as pending, and gives that call's result. ` +
		`If people have still not decided, the answer is pending again. Calling it repeatedly is safe: nothing runs twice.",` +
		`"inputSchema":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",` +
		`"properties":{"call_id":{"type":"string","minLength":1,"maxLength":64,"description":"The call_id of the pending answer."}},` +
		`"required":["call_id"],"additionalProperties":false},` +
		`"annotations":{"title":"Await a held call","readOnlyHint":true,"idempotentHint":true,"openWorldHint":false}}`
)

// listing keeps definitions as they are listed: the upstream's bytes with another name.
type listing struct {
	renamed sync.Map // renaming to json bytes

	mu      sync.Mutex
	prompts map[string]prompt // by name at /mcp, where it does not say; guarded by mu
}

type renaming struct {
	digest, name string
	tasks        bool
}

func (l *listing) forget() { l.renamed.Clear() }

// definition is t's raw definition under another name, for clients that may call it as a task or not.
func (l *listing) definition(t *tools.Tool, name string, tasks bool) []byte {
	if name == t.Definition.Name && !tasks {
		return t.Raw
	}
	key := renaming{t.Digest, name, tasks}
	if known, ok := l.renamed.Load(key); ok {
		return known.([]byte) // only this method stores
	}
	renamed := rename(t.Raw, "name", name)
	if tasks {
		renamed = withTasks(renamed)
	}
	l.renamed.Store(key, renamed)
	return renamed
}

// rename replaces the value of a member that names raw, and nothing else.
func rename(raw []byte, called, name string) []byte {
	r := newReader(raw)
	var out []byte
	err := r.members(nil, func(member string) error {
		v, err := r.value()
		if err != nil || member != called {
			return err
		}
		end := int(r.dec.InputOffset())
		out = append(out, raw[:end-len(v)]...)
		out = appendText(out, name)
		out = append(out, raw[end:]...)
		return nil
	})
	if err != nil { // not a definition, which the registry has ruled out
		return nil
	}
	return out
}

// listTools answers tools/list with what the caller may see, all of it at once.
func (h *Handler) listTools(v *invocation, modern bool) {
	w, r, in, m := v.w, v.r, v.in, v.m
	tasks := v.s != nil && v.s.protocol == mcp.ProtocolVersion20251125
	if modern {
		if f := checkModern(r.Header, m); f != nil {
			h.refuse(w, http.StatusBadRequest, m, f)
			return
		}
	}
	result := []byte(`{"tools":[`)
	for _, t := range h.cfg.Caller.Visible(r.Context(), in.identity) {
		if t.Method != tools.MethodCall {
			continue
		}
		name := t.Definition.Name
		switch in.upstream {
		case "":
			name = t.WireName()
		case t.Upstream:
		default:
			continue
		}
		if definition := h.listed.definition(t, name, tasks); definition != nil {
			result = append(append(result, definition...), ',')
		}
	}
	result = append(append(result, awaitDefinition...), ']')
	if modern {
		result = h.appendListed(result)
	}
	out := newAnswer(w, false, h.cfg.Limits.WriteTimeout)
	defer out.close()
	out.finish(http.StatusOK, success(m.id, append(result, '}')))
}

// success is the JSON-RPC response with a result.
func success(id jsontext.Value, result []byte) []byte {
	b := append(make([]byte, 0, len(id)+len(result)+48), `{"jsonrpc":"2.0","id":`...)
	b = append(append(b, id...), `,"result":`...)
	return append(append(b, result...), '}')
}
