package client

import (
	"encoding/json"
	"strings"
	"time"
)

// Result is the outcome of a call, or the news that there is none yet.
type Result struct {
	CallID  string          // by which the history knows it
	Raw     json.RawMessage // the MCP CallToolResult as it came
	IsError bool            // the tool says that it failed
	Text    string          // the text of the content, one block a line
	Pending *Pending        // set while the call waits; the rest is the broker's words then
}

// Pending is a call that waits, for people or for its tool.
type Pending struct {
	CallID    string    `json:"call_id"`
	Tool      string    `json:"tool"`
	Released  bool      `json:"released"`         // approved, and running
	Approvers []string  `json:"approvers"`        // roles that the hold waits for
	Votes     int       `json:"votes"`            // approvals so far
	Expires   time.Time `json:"expires,omitzero"` // when nobody can approve any more; zero once it runs
	Reasons   []Reason  `json:"reasons"`
}

// parseResult reads a tool's answer, or what the broker said in its place: a refusal
// becomes an *Error.
func parseResult(raw json.RawMessage) (*Result, error) {
	var answer struct {
		Content []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
		IsError bool `json:"isError"`
		Meta    struct {
			CallID  string   `json:"dev.deed/call_id"`
			Refusal *refusal `json:"dev.deed/refusal"`
			Pending *Pending `json:"dev.deed/pending"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, &Error{Kind: OutcomeUnknown, Message: "the answer is no result of a tool", Err: err}
	}
	var lines []string
	for _, block := range answer.Content {
		if block.Type == "text" {
			lines = append(lines, block.Text)
		}
	}
	text := strings.Join(lines, "\n")
	if r := answer.Meta.Refusal; r != nil {
		e := r.err(strings.TrimPrefix(text, strings.ReplaceAll(string(r.Kind), "_", " ")+": "))
		e.CallID = firstOf(e.CallID, answer.Meta.CallID)
		return nil, e
	}
	return &Result{
		CallID: answer.Meta.CallID, Raw: raw, Text: text, Pending: answer.Meta.Pending,
		IsError: answer.IsError && answer.Meta.Pending == nil,
	}, nil
}
