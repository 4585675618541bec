// Package api is a client of a broker's HTTP API, for people's verbs: what is pending,
// voting, history. Its types are those of the API itself; its errors are
// [*client.Error] or those of the context.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/deedbroker/deed/agents/client"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/policy"
)

const (
	timeout   = 60 * time.Second // of one request
	maxAnswer = 64 << 20         // bytes
	pageSize  = 500
)

// Client talks to one broker. It is safe for concurrent use.
type Client struct {
	base  string
	token client.TokenFunc
	http  *http.Client
}

// New returns a client of the broker at base, http(s)://host[:port]. The token may be nil for
// what is public.
func New(base string, token client.TokenFunc) *Client {
	return &Client{base: base, token: token, http: &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Resource is what a broker tells of itself to those without a token (RFC 9728).
type Resource struct {
	Resource string   `json:"resource"` // the audience of tokens
	Issuers  []string `json:"authorization_servers"`
}

// Resource asks for the protected resource metadata. It must be that of the resource
// {base}/mcp, or of one that is reached there by another name.
func (c *Client) Resource(ctx context.Context) (Resource, error) {
	var r Resource
	err := c.do(ctx, http.MethodGet, "/.well-known/oauth-protected-resource", nil, nil, &r)
	if err == nil && r.Resource == "" {
		err = &client.Error{Kind: client.Internal, Message: "the broker's resource metadata names no resource"}
	}
	return r, err
}

// WhoAmI is who the token says that one is.
func (c *Client) WhoAmI(ctx context.Context) (httpapi.WhoAmI, error) {
	var w httpapi.WhoAmI
	return w, c.do(ctx, http.MethodGet, "/v1/whoami", nil, nil, &w)
}

// Held are the calls that wait for people and that one may decide or read, the
// earliest deadline first.
func (c *Client) Held(ctx context.Context) ([]httpapi.HeldCall, error) {
	return all[httpapi.HeldCall](ctx, c, "/v1/calls", url.Values{"state": {"held"}}, 0)
}

// Calls searches the history for at most limit calls, the latest first. The filters
// are the API's.
func (c *Client) Calls(ctx context.Context, filters url.Values, limit int) ([]httpapi.CallSummary, error) {
	return all[httpapi.CallSummary](ctx, c, "/v1/calls", filters, limit)
}

// Call is all that is known of a call.
func (c *Client) Call(ctx context.Context, id string) (httpapi.CallDetail, error) {
	var d httpapi.CallDetail
	return d, c.do(ctx, http.MethodGet, callPath(id), nil, nil, &d)
}

// Metadata shows a call without what it was made with and what it answered.
func (c *Client) Metadata(ctx context.Context, id string) (httpapi.CallDetail, error) {
	var d httpapi.CallDetail
	return d, c.do(ctx, http.MethodGet, callPath(id), url.Values{"tier": {string(policy.TierMetadata)}}, nil, &d)
}

// Vote casts one's vote on a held call: approve, or deny with a reason.
func (c *Client) Vote(ctx context.Context, id string, a httpapi.Approval) (httpapi.CallDetail, error) {
	var d httpapi.CallDetail
	return d, c.do(ctx, http.MethodPost, callPath(id)+"/approvals", nil, a, &d)
}

// Cancel withdraws a held call of one's own.
func (c *Client) Cancel(ctx context.Context, id, reason string) (httpapi.CallDetail, error) {
	var d httpapi.CallDetail
	query := url.Values{}
	if reason != "" {
		query.Set("reason", reason)
	}
	return d, c.do(ctx, http.MethodDelete, callPath(id), query, nil, &d)
}

// Reconcile records whether a call that ended as unknown happened.
func (c *Client) Reconcile(ctx context.Context, id string, happened bool, note string) (httpapi.CallDetail, error) {
	var d httpapi.CallDetail
	return d, c.do(ctx, http.MethodPost, callPath(id)+"/reconciliation", nil, httpapi.Finding{Happened: &happened, Note: note}, &d)
}

// Definition shows a tool's definition beside the one that is trusted.
func (c *Client) Definition(ctx context.Context, tool string) (httpapi.Definition, error) {
	var d httpapi.Definition
	return d, c.do(ctx, http.MethodGet, "/v1/tools/"+url.PathEscape(tool)+"/definition", nil, nil, &d)
}

// ApproveDefinition trusts a tool's definition, by the digest of what was shown.
func (c *Client) ApproveDefinition(ctx context.Context, tool, digest string) (httpapi.Definition, error) {
	var d httpapi.Definition
	return d, c.do(ctx, http.MethodPost, "/v1/tools/"+url.PathEscape(tool)+"/definition", nil, httpapi.DefinitionReview{Digest: digest}, &d)
}

// Grant approves a held call, and calls like it in advance.
func (c *Client) Grant(ctx context.Context, r httpapi.GrantRequest) (httpapi.Grant, error) {
	var g httpapi.Grant
	return g, c.do(ctx, http.MethodPost, "/v1/grants", nil, r, &g)
}

// PreviewGrant tells what a grant would have covered.
func (c *Client) PreviewGrant(ctx context.Context, r httpapi.GrantRequest) (httpapi.GrantPreview, error) {
	var p httpapi.GrantPreview
	return p, c.do(ctx, http.MethodPost, "/v1/grant-preview", nil, r, &p)
}

// Grants are those that one made, or whose calls one may read.
func (c *Client) Grants(ctx context.Context) ([]httpapi.Grant, error) {
	return all[httpapi.Grant](ctx, c, "/v1/grants", nil, 0)
}

// EndGrant takes a grant back.
func (c *Client) EndGrant(ctx context.Context, id, reason string) (httpapi.Grant, error) {
	return end[httpapi.Grant](ctx, c, "/v1/grants/", id, reason)
}

// end ends what a path and an id name, for a reason.
func end[T any](ctx context.Context, c *Client, path, id, reason string) (T, error) {
	var ended T
	query := url.Values{}
	if reason != "" {
		query.Set("reason", reason)
	}
	err := c.do(ctx, http.MethodDelete, path+url.PathEscape(id), query, nil, &ended)
	return ended, err
}

// Agents are the agents that the history knows.
func (c *Client) Agents(ctx context.Context) ([]httpapi.Agent, error) {
	return all[httpapi.Agent](ctx, c, "/v1/agents", nil, 0)
}

// Upstreams is how the upstreams fare that the caller may see.
func (c *Client) Upstreams(ctx context.Context) ([]httpapi.Upstream, error) {
	return all[httpapi.Upstream](ctx, c, "/v1/upstreams", nil, 0)
}

// Revoke stops whoever is named.
func (c *Client) Revoke(ctx context.Context, r httpapi.NewRevocation) (httpapi.Revocation, error) {
	var made httpapi.Revocation
	return made, c.do(ctx, http.MethodPost, "/v1/revocations", nil, r, &made)
}

// Revocations are those in force that one may know of.
func (c *Client) Revocations(ctx context.Context) ([]httpapi.Revocation, error) {
	return all[httpapi.Revocation](ctx, c, "/v1/revocations", nil, 0)
}

// Lift ends a revocation.
func (c *Client) Lift(ctx context.Context, id, reason string) (httpapi.Lifted, error) {
	return end[httpapi.Lifted](ctx, c, "/v1/revocations/", id, reason)
}

// Tools are the tools that one may call or read about.
func (c *Client) Tools(ctx context.Context) ([]httpapi.Tool, error) {
	return all[httpapi.Tool](ctx, c, "/v1/tools", nil, 0)
}

// Inclusion is the proof that the record at a position is in its log.
func (c *Client) Inclusion(ctx context.Context, position string) (httpapi.Inclusion, error) {
	var p httpapi.Inclusion
	err := c.do(ctx, http.MethodGet, "/v1/proof/inclusion", url.Values{"position": {position}}, nil, &p)
	return p, err
}

// Evidence writes a pack of evidence as the broker makes it, however long that takes.
func (c *Client) Evidence(ctx context.Context, query url.Values, to io.Writer) error {
	r, err := c.request(ctx, http.MethodGet, "/v1/evidence", query, nil)
	if err != nil {
		return err
	}
	slow := *c.http
	slow.Timeout = 0
	response, err := slow.Do(r)
	if err != nil {
		return client.Explain(err, client.Unreachable)
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	if response.StatusCode != http.StatusOK {
		return client.ReadProblem(response)
	}
	if _, err := io.Copy(to, response.Body); err != nil {
		return &client.Error{Kind: client.Unreachable, Message: "the evidence broke off before its end; the broker's log says why", Err: err}
	}
	return nil
}

func callPath(id string) string { return "/v1/calls/" + url.PathEscape(id) }

// all follows a list to its end, or until there are limit items if that is not 0.
func all[T any](ctx context.Context, c *Client, path string, filters url.Values, limit int) ([]T, error) {
	items := []T{}
	query := url.Values{}
	maps.Copy(query, filters)
	for {
		n := pageSize
		if limit > 0 {
			n = min(n, limit-len(items))
		}
		query.Set("limit", strconv.Itoa(n))
		var page httpapi.List[T]
		if err := c.do(ctx, http.MethodGet, path, query, nil, &page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if page.Next == "" || (limit > 0 && len(items) >= limit) {
			return items, nil
		}
		if page.Next == query.Get("cursor") {
			return nil, &client.Error{Kind: client.Internal, Message: "the list does not go on: its cursor repeats"}
		}
		query.Set("cursor", page.Next)
	}
}

// do sends a request and decodes the answer into out.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	r, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	response, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return client.Explain(err, client.Unreachable)
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	if response.StatusCode != http.StatusOK {
		return client.ReadProblem(response)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(out); err != nil {
		return &client.Error{Kind: client.Internal, Message: "the answer at " + path + " is not what this version expects; is it a Deed broker?", Err: err}
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Request, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != nil {
		token, err := c.token(ctx)
		if err != nil {
			return nil, client.NoToken(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r, nil
}
