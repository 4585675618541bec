package httpapi

import (
	"context"
	"net/http"

	"github.com/deedbroker/deed/agents"
)

// list serves a page of what is in memory, each as view shows it, in the order of its key.
func list[T, V any](w http.ResponseWriter, r *http.Request, all []T, view func(T) V, key func(V) string) error {
	p := parse(r.URL.RawQuery, "limit", "cursor")
	limit := p.limit()
	if p.err != nil {
		return p.err
	}
	items := make([]V, len(all))
	for i, one := range all {
		items[i] = view(one)
	}
	cut, err := page(items, key, limit, p.text("cursor"))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, cut)
	return nil
}

// Lifted is a revocation, or a legal hold, that is over.
type Lifted struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	By     string `json:"by"`
}

// lift ends what the path names, for a reason. Without it in force there is what unknown says.
func (v *viewer) lift(w http.ResponseWriter, r *http.Request, unknown string, end func(ctx context.Context, by *agents.Identity, id, reason string) error) error {
	p := parse(r.URL.RawQuery, "reason")
	if p.err != nil {
		return p.err
	}
	id, reason := r.PathValue("id"), p.text("reason")
	if err := checkReason(reason); err != nil {
		return err
	}
	if !isCallID(id) { // ids of events have the form of call ids
		return notFound(unknown)
	}
	if err := end(r.Context(), v.id, id, reason); err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, Lifted{ID: id, Reason: reason, By: v.id.Principal})
	return nil
}
