package mcpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
)

// Members of _meta in the answers to calls.
const (
	keyCallID    = "dev.deed/call_id"
	keyRefusal   = "dev.deed/refusal"
	keyPending   = "dev.deed/pending"
	keyEdited    = "dev.deed/edited"
	keyRepeated  = "dev.deed/repeated"        // true: this is the outcome of an earlier call, which the request repeats
	keyRecord    = "dev.deed/record"          // "spooled": the log is away, and has the call's intent only
	protocolKeys = "io.modelcontextprotocol/" // of the hop, not of the answer
)

// result is what the tool said, its bytes unaltered but for _meta, resultType and how it
// may be cached, which belong to the protocol between broker and client.
func (h *Handler) result(reply *broker.Reply, v *invocation) []byte {
	raw, modern, cached := reply.Answer.Raw, v.modern(), cacheable(v.method)
	r := newReader(raw, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	b := append(make([]byte, 0, len(raw)+192), '{')
	var foreign []byte // members of the tool's own _meta
	resultType := false
	err := r.members(nil, func(name string) (err error) {
		if name == "_meta" && r.dec.PeekKind() == '{' {
			foreign, err = foreignMeta(r)
			return err
		}
		v, err := r.value()
		if err != nil || name == "_meta" || name == "resultType" && !modern || cached && (name == "cacheScope" || name == "ttlMs") {
			return err
		}
		if name == "content" && reply.Edited != nil {
			v = noted(v, reply.Edited)
		}
		resultType = resultType || name == "resultType"
		b = append(appendText(b, name), ':')
		b = append(append(b, v...), ',')
		return nil
	})
	if err != nil {
		return h.toolResult(toolResult{callID: reply.CallID, text: "the tool was run, but its answer is not a result of MCP", isError: true}, modern)
	}
	if modern && !resultType {
		b = append(b, `"resultType":"complete",`...)
	}
	if modern && cached { // what one caller may read another may not, and each reading is recorded
		b = append(b, `"ttlMs":0,"cacheScope":"private",`...)
	}
	b = append(b, `"_meta":{`...)
	b = append(b, foreign...)
	if reply.Edited != nil {
		b = append(marshalInto(append(b, `"`+keyEdited+`":`...), reply.Edited), ',')
	}
	b = v.appendRelated(b)
	if reply.Repeated {
		b = append(b, `"`+keyRepeated+`":true,`...)
	}
	if reply.Spooled {
		b = append(b, `"`+keyRecord+`":"spooled",`...)
	}
	b = append(h.appendMeta(b, reply.CallID, modern), '}')
	return append(b, '}')
}

// noted puts what people changed before the tool ran in front of what it answered:
// models read the content, not _meta.
func noted(content jsontext.Value, e *broker.Edited) jsontext.Value {
	rest := bytes.TrimSpace(content)
	if len(rest) < 2 || rest[0] != '[' {
		return content
	}
	b := appendText([]byte(`[{"type":"text","text":`), editedText(e))
	b = append(b, '}')
	if rest = bytes.TrimSpace(rest[1:]); rest[0] != ']' {
		b = append(b, ',')
	}
	return append(b, rest...)
}

func editedText(e *broker.Edited) string {
	text := "Before approving this call " + e.By + " changed its arguments"
	if e.Reason != "" {
		text += " (" + e.Reason + ")"
	}
	if e.Arguments == nil {
		return text + "."
	}
	return text + ". It ran with: " + string(e.Arguments)
}

// foreignMeta copies the members of a _meta that are not the protocol's or the broker's, each with a comma after it.
func foreignMeta(r *reader) ([]byte, error) {
	var b []byte
	err := r.members(nil, func(name string) error {
		v, err := r.value()
		if err != nil || strings.HasPrefix(name, protocolKeys) || strings.HasPrefix(name, "dev.deed/") {
			return err
		}
		b = append(appendText(b, name), ':')
		b = append(append(b, v...), ',')
		return nil
	})
	return b, err
}

// appendMeta appends the broker's own members of _meta.
func (h *Handler) appendMeta(b []byte, callID string, modern bool) []byte {
	b = append(b, `"`+keyCallID+`":`...)
	b = appendText(b, callID)
	if modern {
		b = h.appendServerInfo(append(b, ','))
	}
	return b
}

// appendRelated appends which task a result is of, with a comma; nothing if it is of none.
func (v *invocation) appendRelated(b []byte) []byte { return appendRelatedTask(b, v.related) }

func appendRelatedTask(b []byte, taskID string) []byte {
	if taskID == "" {
		return b
	}
	b = appendText(append(b, `"`+keyRelatedTask+`":{"taskId":`...), taskID)
	return append(b, "},"...)
}

func (h *Handler) appendServerInfo(b []byte) []byte {
	b = append(b, `"`+mcp.MetaKeyServerInfo+`":`...)
	return append(b, h.serverInfo...)
}

// toolResult is a result that the broker itself gives in place of a tool.
type toolResult struct {
	related string // the task whose result it is
	callID  string
	text    string
	isError bool
	key     string // in _meta
	details any    // under that key
	content bool   // whether the details are the structured content too
}

func (h *Handler) toolResult(t toolResult, modern bool) []byte {
	b := appendText([]byte(`{"content":[{"type":"text","text":`), t.text)
	b = append(b, `}]`...)
	if t.content {
		b = marshalInto(append(b, `,"structuredContent":`...), t.details)
	}
	if t.isError {
		b = append(b, `,"isError":true`...)
	}
	if modern {
		b = append(b, `,"resultType":"complete"`...)
	}
	b = appendRelatedTask(append(b, `,"_meta":{`...), t.related)
	if t.key != "" {
		b = marshalInto(append(b, `"`+t.key+`":`...), t.details)
		b = append(b, ',')
	}
	return append(h.appendMeta(b, t.callID, modern), "}}"...)
}

// refusal is what an agent's program gets to know of a refused or failed call.
type refusal struct {
	Kind       string   `json:"kind"`
	CallID     string   `json:"call_id,omitempty"`
	Reasons    []reason `json:"reasons,omitempty"`
	RetryAfter float64  `json:"retry_after,omitempty"` // seconds
}

type reason struct {
	Policy string `json:"policy"`
	Reason string `json:"reason,omitempty"`
}

func refusalOf(e *broker.Error) refusal {
	r := refusal{Kind: e.Kind.String(), CallID: e.CallID, RetryAfter: e.Retry.Seconds()}
	if e.Decision != nil {
		r.Reasons = reasonsOf(e.Decision.Reasons)
	}
	return r
}

// reasonsOf says each reason once: a decision has it for every link of the chain.
func reasonsOf(decided []audit.Reason) []reason {
	var said []reason
	for _, why := range decided {
		if r := (reason{Policy: why.Policy, Reason: why.Text}); !slices.Contains(said, r) {
			said = append(said, r)
		}
	}
	return said
}

// refusalResult tells a model why its call was refused or failed, and what would help.
func (h *Handler) refusalResult(e *broker.Error, v *invocation) []byte {
	details := refusalOf(e)
	lines := []string{strings.ReplaceAll(details.Kind, "_", " ") + ": " + e.Public}
	for _, why := range details.Reasons {
		if !strings.Contains(e.Public, why.Policy) {
			lines = append(lines, fmt.Sprintf("- policy %s: %s", why.Policy, why.Reason))
		}
	}
	if e.Retry > 0 {
		lines = append(lines, fmt.Sprintf("Call again in %s.", e.Retry.Round(time.Millisecond)))
	}
	return h.toolResult(toolResult{
		callID: e.CallID, text: strings.Join(lines, "\n"), isError: true,
		key: keyRefusal, details: details, content: !hasOutputSchema(v.tool), related: v.related,
	}, v.modern())
}

// pendingOutcome is the structured content of a held call's answer.
type pendingOutcome struct {
	Status string `json:"status"` // pending
	broker.Pending
	Reasons []reason `json:"reasons,omitempty"`
}

// pendingResult tells that a call waits, for whom, and how to get its outcome. It
// is an error only for tools with an output schema, which other content would
// violate: clients check it of every result that is not an error.
func (h *Handler) pendingResult(p *broker.Pending, t *tools.Tool, modern bool) []byte {
	details := pendingOutcome{Status: "pending", Pending: *p, Reasons: reasonsOf(p.Reasons)}
	typed := hasOutputSchema(t)
	return h.toolResult(toolResult{
		callID: p.CallID, text: pendingText(p), isError: typed,
		key: keyPending, details: details, content: !typed,
	}, modern)
}

func pendingText(p *broker.Pending) string {
	lines := []string{"running: the call may run, and has not finished yet."}
	if !p.Released {
		lines[0] = fmt.Sprintf("held: the call of %s waits for approval by %s (%d so far), until %s. Nothing has been done yet.",
			p.Tool, approvers(*p), p.Votes, p.Expires.UTC().Format(time.RFC3339))
		for _, why := range reasonsOf(p.Reasons) {
			if why.Reason != "" {
				lines = append(lines, "- "+why.Reason)
			}
		}
	}
	return strings.Join(lines, "\n") + "\nTo get the outcome, call " + awaitTool + ` with {"call_id":"` + p.CallID + `"}, or repeat the same call.`
}

func hasOutputSchema(t *tools.Tool) bool { return t != nil && len(t.OutputSchema) > 0 }

// marshalInto appends v, one of this package's own types, as JSON.
func marshalInto(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, text...)
}
