package broker

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// Browse lists a page of an upstream's resources, templates or prompts: nothing if
// the caller could use none of them, and no resource that policy denies. Like the
// list of tools it is not recorded.
func (b *Broker) Browse(ctx context.Context, id *agents.Identity, upstream string, l tools.Listing, cursor string) (tools.Page, error) {
	op := "list " + clip(upstream, maxToolName)
	if err := b.admit(ctx, op, id); err != nil {
		return tools.Page{}, err
	}
	name, _ := tools.OperationName(l.Operation())
	qualified := tools.QualifiedName(upstream, name)
	if _, ok := slices.BinarySearch(b.cfg.Policies.Set().Visible(policy.LinksOf(recorded(id)), id.Scopes), qualified); !ok {
		return tools.Page{}, nil
	}
	page, err := b.cfg.Catalogue.Page(ctx, upstream, l, cursor)
	switch {
	case errors.Is(err, tools.ErrNotOffered):
		return tools.Page{}, nil
	case err != nil:
		return tools.Page{}, &Error{Kind: Upstream, Op: op, Err: err, Public: "the upstream did not list what it has", Retry: 5 * time.Second}
	case l == tools.ListResources:
		page.Items = b.readable(qualified, id, page.Items)
	}
	return page, nil
}

// readable are the resources that the caller may read, be it after approvals.
func (b *Broker) readable(operation string, id *agents.Identity, resources []json.RawMessage) []json.RawMessage {
	t, err := b.cfg.Catalogue.Lookup(operation)
	if err != nil {
		return nil
	}
	who := recorded(id)
	return slices.DeleteFunc(slices.Clone(resources), func(raw json.RawMessage) bool {
		var resource struct {
			URI string `json:"uri"`
		}
		if json.Unmarshal(raw, &resource) != nil {
			return true
		}
		params, err := json.Marshal(map[string]string{"uri": resource.URI})
		if err != nil {
			return true
		}
		args, err := tools.ParseArguments(params)
		if err != nil {
			return true
		}
		d, err := b.decide("", t, args, who, policy.Approvals{})
		return err != nil || d.Effect == audit.Deny
	})
}

// Unsubscribe ends what a call with [tools.MethodSubscribe] began. It needs no permission.
func (b *Broker) Unsubscribe(ctx context.Context, upstream, uri string) error {
	err := b.cfg.Catalogue.Unsubscribe(ctx, upstream, uri)
	if err != nil && !errors.Is(err, tools.ErrNotOffered) {
		return &Error{Kind: Upstream, Op: "unsubscribe", Err: err, Public: "the upstream did not end the subscription"}
	}
	return nil
}
