package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

const (
	keyIdempotency   = "dev.deed/idempotency_key"
	keyJustification = "dev.deed/justification"
	awaitTool        = "deed__await"
)

// errHeaders marks a refusal for headers that repeat arguments: the tool's schema
// says which, and it has to be known first.
var errHeaders = errors.New("headers differ from the body")

// Progress is how a call fares while it is held, or what its tool says while it runs.
type Progress struct {
	Progress float64 // grows; seconds while it is held
	Total    float64 // 0 if unknown
	Message  string
}

// Waiting says how to wait for the outcome of a call.
type Waiting struct {
	// Wait is how long to wait for people. The broker answers as pending after some time
	// of its own; asking goes on until Wait is over. Zero takes the first answer.
	Wait time.Duration
	// OnProgress is told how the call fares; may be nil. It must not block.
	OnProgress func(Progress)
}

// CallOptions are what a call can have besides tool and arguments.
type CallOptions struct {
	Waiting
	// IdempotencyKey makes a repeat of the call give the first one's outcome; at most
	// 128 bytes.
	IdempotencyKey string
	// Justification is why the agent makes the call, for the people who may have to decide
	// on it; at most 1000 bytes.
	Justification string
}

// Call calls a tool, named upstream.tool or by its wire name, with a JSON object as
// arguments (nothing for none). They go to the broker as they are written, space
// aside. Its error is an [*Error], or that of ctx.
func (c *Client) Call(ctx context.Context, tool string, arguments json.RawMessage, o CallOptions) (*Result, error) {
	started := time.Now()
	wire := WireName(tool)
	result, err := c.call(ctx, wire, arguments, o)
	if errors.Is(err, errHeaders) {
		if _, err := c.Tools(ctx); err != nil {
			return nil, err
		}
		result, err = c.call(ctx, wire, arguments, o)
	}
	if err != nil {
		return nil, err
	}
	return c.persist(ctx, result, o.Waiting, started)
}

// Await asks for the outcome of a held call, by the same principal through the same
// agents. Nothing runs because of it.
func (c *Client) Await(ctx context.Context, callID string, w Waiting) (*Result, error) {
	started := time.Now()
	result, err := c.await(ctx, callID, w)
	if err != nil {
		return nil, err
	}
	return c.persist(ctx, result, w, started)
}

// persist asks again while the answer is pending and there is time.
func (c *Client) persist(ctx context.Context, r *Result, w Waiting, started time.Time) (*Result, error) {
	for r.Pending != nil && time.Since(started) < w.Wait {
		limited, cancel := context.WithTimeout(ctx, w.Wait-time.Since(started))
		next, err := c.await(limited, r.CallID, w)
		cancel()
		switch {
		case err == nil:
			r = next
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return r, nil // it still waits, and may be awaited again
		default:
			return nil, err
		}
	}
	return r, nil
}

func (c *Client) await(ctx context.Context, callID string, w Waiting) (*Result, error) {
	arguments, err := json.Marshal(map[string]string{"call_id": callID})
	if err != nil {
		return nil, err // of a string
	}
	return c.call(ctx, awaitTool, arguments, CallOptions{Waiting: w})
}

type callParams struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Meta      map[string]any  `json:"_meta,omitempty"`
}

func (c *Client) call(ctx context.Context, wire string, arguments json.RawMessage, o CallOptions) (*Result, error) {
	token := c.watch(o.OnProgress)
	defer c.unwatch(token)
	acted := OutcomeUnknown
	if wire == awaitTool {
		acted = Unreachable
	}
	raw, err := c.send(ctx, mcp.MethodToolsCall, func(version string) (json.RawMessage, http.Header, error) {
		meta := c.meta(version)
		if token != "" {
			meta["progressToken"] = token
		}
		if o.IdempotencyKey != "" {
			meta[keyIdempotency] = o.IdempotencyKey
		}
		if o.Justification != "" {
			meta[keyJustification] = o.Justification
		}
		params, err := json.Marshal(callParams{wire, arguments, meta})
		return params, c.paramHeaders(wire, params), err
	}, acted)
	if err != nil {
		return nil, err
	}
	return parseResult(raw)
}

// paramHeaders are the Mcp-Param-* headers of a call (MCP 2026-07-28, SEP-2243).
func (c *Client) paramHeaders(wire string, params json.RawMessage) http.Header {
	c.mu.Lock()
	tool := c.known[wire]
	c.mu.Unlock()
	header := http.Header{}
	if tool == nil {
		return header
	}
	for name, value := range mcp.GenerateParamHeaders(tool, params) {
		header.Set(name, value)
	}
	return header
}

// watch has a call's progress told to f; the token is empty if f is nil.
func (c *Client) watch(f func(Progress)) (token string) {
	if f == nil {
		return ""
	}
	token = "progress-" + strconv.FormatInt(c.ids.Add(1), 10)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.progress[token] = f
	return token
}

func (c *Client) unwatch(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.progress, token)
}

// notified passes on progress to whoever watches.
func (c *Client) notified(n mcp.JSONRPCNotification) {
	if n.Method != "notifications/progress" {
		return
	}
	fields := n.Params.AdditionalFields
	token, _ := fields["progressToken"].(string)
	c.mu.Lock()
	f := c.progress[token]
	c.mu.Unlock()
	if f == nil {
		return
	}
	var p Progress
	p.Progress, _ = fields["progress"].(float64)
	p.Total, _ = fields["total"].(float64)
	p.Message, _ = fields["message"].(string)
	f(p)
}
