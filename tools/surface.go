package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Surface is implemented by upstreams that have more of MCP than tools. The
// operations that they declare become actions like their tools, and reach the
// upstream's Call with their method.
type Surface interface {
	Upstream

	// Features are what the upstream has declared. They may differ each time that its definitions may.
	Features() Features

	// Page lists one page of what the upstream offers, from cursor on.
	Page(ctx context.Context, l Listing, cursor string) (Page, error)

	// Unsubscribe ends what a call with [MethodSubscribe] began.
	Unsubscribe(ctx context.Context, uri string) error

	// OnNotice sets what is told of the upstream's notices. It is called once, before Run.
	OnNotice(func(Notice))
}

// Listing is an MCP method that lists what an upstream offers.
type Listing string

// The listings beside that of tools.
const (
	ListResources Listing = "resources/list"
	ListTemplates Listing = "resources/templates/list"
	ListPrompts   Listing = "prompts/list"
)

// Operation is the method that uses what the listing lists.
func (l Listing) Operation() string {
	if l == ListPrompts {
		return MethodGetPrompt
	}
	return MethodReadResource
}

// Page is a part of a listing, each item as the raw JSON that the upstream gave.
type Page struct {
	Items []json.RawMessage
	Next  string // cursor of the next page; empty at the end
}

// Notice is what an upstream tells of itself: that a listing has changed, or a resource.
type Notice struct {
	Listing Listing // that may have changed; empty if it is about one resource
	URI     string  // of the resource that has changed
}

// ErrNotOffered says that an upstream does not offer what was asked for.
var ErrNotOffered = errors.New("the upstream does not offer this")

// Features are what an upstream has declared when it was last listed.
func (r *Registry) Features(upstream string) Features {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.entries[upstream]; ok {
		return e.features
	}
	return Features{}
}

// Page lists a page of what an upstream offers. The error wraps [ErrNotOffered] if
// it has declared nothing of the kind.
func (r *Registry) Page(ctx context.Context, upstream string, l Listing, cursor string) (Page, error) {
	e, s, err := r.surface(upstream, l.Operation())
	if err != nil {
		return Page{}, fmt.Errorf("list %s of %s: %w", l, printable(upstream), err)
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	var page Page
	err = e.guarded(ctx, func() (err error) {
		page, err = s.Page(ctx, l, cursor)
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("list %s of %s: %w", l, upstream, err)
	}
	return page, nil
}

// Unsubscribe ends a subscription to changes of a resource.
func (r *Registry) Unsubscribe(ctx context.Context, upstream, uri string) error {
	e, s, err := r.surface(upstream, MethodSubscribe)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, listTimeout)
		defer cancel()
		err = e.guarded(ctx, func() error { return s.Unsubscribe(ctx, uri) })
	}
	if err != nil {
		return fmt.Errorf("unsubscribe from a resource of %s: %w", printable(upstream), err)
	}
	return nil
}

// surface finds an upstream that has declared what method needs.
func (r *Registry) surface(upstream, method string) (*entry, Surface, error) {
	name, _ := OperationName(method)
	t, err := r.Lookup(QualifiedName(upstream, name))
	if err != nil || t.Method != method {
		return nil, nil, ErrNotOffered
	}
	s, ok := t.entry.upstream.(Surface)
	if !ok {
		return nil, nil, ErrNotOffered
	}
	return t.entry, s, nil
}

// guarded runs f in one of the upstream's slots, with a panic made an error.
func (e *entry) guarded(ctx context.Context, f func() error) (err error) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
		return fmt.Errorf("too many calls at once: %w", ctx.Err())
	}
	defer e.recovered(ctx, &err)
	return f()
}
