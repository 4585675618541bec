package mcpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
)

const (
	maxListed     = 10_000           // items of one listing at /mcp
	maxListBytes  = 16 << 20         // of them
	maxListPages  = 100              // of one upstream
	listTimeout   = 20 * time.Second // for all upstreams
	listedAtOnce  = 8                // upstreams
	maxKeptPrompt = 10_000           // names of prompts that were cut short
)

// kind is how a listing is answered.
type kind struct {
	listing tools.Listing
	member  string // of the result: the items
	name    string // of an item: what it is called
}

func kindOf(method string) (kind, bool) {
	switch l := tools.Listing(method); l {
	case tools.ListResources:
		return kind{l, "resources", "uri"}, true
	case tools.ListTemplates:
		return kind{l, "resourceTemplates", "uriTemplate"}, true
	case tools.ListPrompts:
		return kind{l, "prompts", "name"}, true
	default:
		return kind{}, false
	}
}

// browse answers a listing of resources, templates or prompts: at /mcp/{upstream} page
// by page as the upstream gives them, at /mcp all of all upstreams at once.
func (h *Handler) browse(v *invocation, k kind) {
	if v.modern() {
		if f := checkModern(v.r.Header, v.m); f != nil {
			h.refuse(v.w, http.StatusBadRequest, v.m, f)
			return
		}
	}
	v.out = newAnswer(v.w, false, h.cfg.Limits.WriteTimeout)
	defer v.out.close()
	var page tools.Page
	var err error
	if v.in.upstream != "" {
		page, err = h.cfg.Caller.Browse(v.r.Context(), v.in.identity, v.in.upstream, k.listing, v.m.call.cursor)
	} else {
		page = h.browseAll(v.r.Context(), v.in, k)
	}
	if err != nil {
		h.finishFailed(v.r.Context(), v, err)
		return
	}
	result := append([]byte(`{"`), k.member...)
	result = append(result, `":[`...)
	for i, item := range page.Items {
		if i > 0 {
			result = append(result, ',')
		}
		result = append(result, item...)
	}
	result = append(result, ']')
	if page.Next != "" {
		result = appendText(append(result, `,"nextCursor":`...), page.Next)
	}
	if v.modern() {
		result = h.appendListed(result)
	}
	v.out.finish(http.StatusOK, success(v.m.id, append(result, '}')))
}

// appendListed appends what results of listings have since revision 2026-07-28. They
// differ from caller to caller, and may with any change of policy.
func (h *Handler) appendListed(b []byte) []byte {
	b = append(b, `,"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{`...)
	return append(h.appendServerInfo(b), '}')
}

// browseAll gathers a listing of all upstreams, in order of their names. One that does
// not answer is left out, rather than hide what the others have.
func (h *Handler) browseAll(ctx context.Context, in *inbound, k kind) tools.Page {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	names := slices.Sorted(slices.Values(h.cfg.Upstreams()))
	all := make([][]json.RawMessage, len(names))
	var group errgroup.Group
	group.SetLimit(listedAtOnce)
	var budget budget
	for i, name := range names {
		group.Go(func() error {
			items, err := h.browseOne(ctx, in, name, k, &budget)
			if err != nil {
				h.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "upstream not listed", slog.String("upstream", name), slog.Any("error", err))
			}
			all[i] = items
			return nil
		})
	}
	_ = group.Wait() // nothing in it fails
	return tools.Page{Items: slices.Concat(all...)}
}

// budget bounds what one listing gathers.
type budget struct {
	mu           sync.Mutex
	items, bytes int // guarded by mu
}

func (b *budget) take(item json.RawMessage) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items++
	b.bytes += len(item)
	return b.items <= maxListed && b.bytes <= maxListBytes
}

func (h *Handler) browseOne(ctx context.Context, in *inbound, upstream string, k kind, b *budget) ([]json.RawMessage, error) {
	f := h.cfg.Tools.Features(upstream)
	if k.listing == tools.ListPrompts && !f.Prompts || k.listing != tools.ListPrompts && !f.Resources {
		return nil, nil
	}
	var items []json.RawMessage
	cursor := ""
	for range maxListPages {
		page, err := h.cfg.Caller.Browse(ctx, in.identity, upstream, k.listing, cursor)
		if err != nil {
			return items, broker.AsError(err)
		}
		for _, item := range page.Items {
			if !b.take(item) {
				return items, nil
			}
			if named := h.public(in, upstream, k, item); named != nil {
				items = append(items, named)
			}
		}
		if page.Next == "" || page.Next == cursor {
			return items, nil
		}
		cursor = page.Next
	}
	return items, nil
}

// public is an item under the name that clients at /mcp know it by; nil if it has none.
func (h *Handler) public(in *inbound, upstream string, k kind, item json.RawMessage) json.RawMessage {
	var named map[string]json.RawMessage
	if err := jsonv2.Unmarshal(item, &named); err != nil {
		return nil
	}
	var own string
	if err := json.Unmarshal(named[k.name], &own); err != nil || own == "" {
		return nil
	}
	if k.listing != tools.ListPrompts {
		return rename(item, k.name, in.publicURI(upstream, own))
	}
	wire := tools.WireName(upstream, own)
	h.listed.keepPrompt(wire, prompt{upstream, own})
	return rename(item, k.name, wire)
}

// prompt is a prompt by its upstream's name.
type prompt struct{ upstream, name string }

// keepPrompt remembers the names that cannot be taken apart again.
func (l *listing) keepPrompt(wire string, p prompt) {
	if wire == p.upstream+"__"+p.name {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.prompts) >= maxKeptPrompt || l.prompts == nil {
		l.prompts = map[string]prompt{}
	}
	l.prompts[wire] = p
}

func (l *listing) prompt(wire string) (prompt, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.prompts[wire]
	return p, ok
}
