package mcpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

const (
	noteTools     = mcp.MethodNotificationToolsListChanged
	noteResources = mcp.MethodNotificationResourcesListChanged
	notePrompts   = mcp.MethodNotificationPromptsListChanged
	noteUpdated   = mcp.MethodNotificationResourceUpdated

	maxWatched = 100 // resources that one session, or one stream, is subscribed to
)

// listeners are the open streams of notifications, and who is subscribed to which resource.
type listeners struct {
	mu      sync.Mutex
	open    map[*listener]struct{}       // guarded by mu
	watched map[resource]map[*watch]bool // guarded by mu
}

// listener is one stream: of a session, or of subscriptions/listen.
type listener struct {
	in      *inbound
	out     *answer
	session string         // empty since revision 2026-07-28
	id      jsontext.Value // of the request, since revision 2026-07-28
	wants   mcp.SubscriptionFilter
	watch   *watch
}

// resource is a resource of an upstream, by the upstream's own URI.
type resource struct{ upstream, uri string }

// watch is what one client is subscribed to: a session, or a stream.
type watch struct {
	in      *inbound
	session string
	uris    map[resource]bool // guarded by listeners.mu
}

func newWatch(in *inbound, session string) *watch {
	return &watch{in: in, session: session, uris: map[resource]bool{}}
}

func newListeners() *listeners {
	return &listeners{open: map[*listener]struct{}{}, watched: map[resource]map[*watch]bool{}}
}

func (l *listeners) add(n *listener) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[n] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, n)
	}
}

// changed tells of a change to what is listed.
func (l *listeners) changed(note string, upstream string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := map[string]bool{} // a session hears it on one of its streams only
	for n := range l.open {
		if n.in.upstream != "" && upstream != "" && n.in.upstream != upstream {
			continue
		}
		if !n.hears(note) || n.session != "" && told[n.session] {
			continue
		}
		told[n.session] = true
		n.tell(note, nil)
	}
}

// updated tells those who are subscribed to a resource that it has changed.
func (l *listeners) updated(r resource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.watched[r] {
		params := appendText([]byte(`"uri":`), w.in.publicURI(r.upstream, r.uri))
		for n := range l.open {
			if n.watch == w || w.session != "" && n.session == w.session {
				n.tell(noteUpdated, params)
				break
			}
		}
	}
}

func (n *listener) hears(note string) bool {
	if n.session != "" {
		return true
	}
	switch note {
	case noteTools:
		return n.wants.ToolsListChanged
	case noteResources:
		return n.wants.ResourcesListChanged
	case notePrompts:
		return n.wants.PromptsListChanged
	default:
		return false
	}
}

// tell sends a notification whose params have the given members.
func (n *listener) tell(note string, members []byte) {
	b := append([]byte(`{"jsonrpc":"2.0","method":"`), note...)
	b = append(b, '"')
	meta := n.meta()
	if len(meta)+len(members) > 0 {
		b = append(append(b, `,"params":{`...), members...)
		if len(meta) > 0 && len(members) > 0 {
			b = append(b, ',')
		}
		b = append(append(b, meta...), '}')
	}
	n.out.send(append(b, '}'))
}

// meta ties a notification to the request that asked for it, since revision 2026-07-28.
func (n *listener) meta() []byte {
	if n.id == nil {
		return nil
	}
	b := append([]byte(`"_meta":{"`), mcp.MetaKeySubscriptionID...)
	return append(append(append(b, `":`...), n.id...), '}')
}

// hear serves a stream of notifications of a session (GET).
func (h *Handler) hear(w http.ResponseWriter, r *http.Request, in *inbound) {
	n := &listener{in: in, session: in.session, out: newAnswer(w, true, h.cfg.Limits.WriteTimeout)}
	if h.admit(w, n) {
		n.out.start()
		h.stream(r, n, func() {})
		n.out.end()
	}
}

// listen serves subscriptions/listen. What a client may not subscribe to is left out.
func (h *Handler) listen(v *invocation) {
	if f := checkModern(v.r.Header, v.m); f != nil {
		h.refuse(v.w, http.StatusBadRequest, v.m, f)
		return
	}
	n := &listener{in: v.in, id: v.m.id, out: newAnswer(v.w, true, h.cfg.Limits.WriteTimeout), watch: newWatch(v.in, "")}
	if err := json.Unmarshal(orEmpty(v.m.call.filter), &n.wants); err != nil {
		h.refuse(v.w, http.StatusBadRequest, v.m, invalidParams("params.notifications must be an object of the protocol"))
		return
	}
	if len(n.wants.ResourceSubscriptions) > maxWatched {
		h.refuse(v.w, http.StatusBadRequest, v.m, invalidParams("too many resources in params.notifications"))
		return
	}
	if !h.admit(v.w, n) {
		return
	}
	defer h.unwatchAll(v.r.Context(), n.watch)
	n.wants.ResourceSubscriptions = slices.DeleteFunc(n.wants.ResourceSubscriptions, func(uri string) bool {
		return h.subscribe(v, n.watch, uri) != nil
	})
	h.stream(v.r, n, func() {
		n.tell(mcp.MethodNotificationSubscriptionsAcknowledged, marshalInto([]byte(`"notifications":`), n.wants))
	})
	result := append([]byte(`{"resultType":"complete",`), n.meta()...)
	n.out.finish(http.StatusOK, success(v.m.id, append(result, '}')))
}

func orEmpty(v jsontext.Value) jsontext.Value {
	if v == nil {
		return jsontext.Value("{}")
	}
	return v
}

// subscribe has the broker subscribe a client to a resource: an action like any other.
func (h *Handler) subscribe(v *invocation, w *watch, uri string) error {
	upstream, own := h.ownURI(v.in, uri)
	operation, _ := tools.OperationName(tools.MethodSubscribe)
	one := *v
	one.method, one.name = tools.MethodSubscribe, tools.QualifiedName(upstream, operation)
	one.n = &notifier{out: newAnswer(v.w, false, h.cfg.Limits.WriteTimeout)}
	one.arguments = append(appendText([]byte(`{"uri":`), own), '}')
	reply, err := h.cfg.Caller.Call(v.r.Context(), one.request())
	if err != nil {
		return err
	}
	if reply.Pending != nil {
		return errNotAnswered
	}
	h.listeners.begin(w, resource{upstream, own})
	return nil
}

func (l *listeners) begin(w *watch, r resource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.uris[r] || len(w.uris) >= maxWatched {
		return
	}
	w.uris[r] = true
	if l.watched[r] == nil {
		l.watched[r] = map[*watch]bool{}
	}
	l.watched[r][w] = true
}

// leave ends a subscription, and reports whether it was the last one to the resource.
func (l *listeners) leave(w *watch, r resource) (last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.uris[r] {
		return false
	}
	delete(w.uris, r)
	delete(l.watched[r], w)
	if len(l.watched[r]) > 0 {
		return false
	}
	delete(l.watched, r)
	return true
}

func (l *listeners) of(w *watch) []resource {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []resource
	for r := range w.uris {
		all = append(all, r)
	}
	return all
}

// unsubscribe answers resources/unsubscribe of a session.
func (h *Handler) unsubscribe(v *invocation) {
	upstream, own := h.ownURI(v.in, v.m.call.uri)
	h.unwatch(context.WithoutCancel(v.r.Context()), v.s.watch, resource{upstream, own})
	out := newAnswer(v.w, false, h.cfg.Limits.WriteTimeout)
	defer out.close()
	out.finish(http.StatusOK, success(v.m.id, []byte("{}")))
}

// unwatchAll ends the subscriptions of a client that has gone.
func (h *Handler) unwatchAll(ctx context.Context, w *watch) {
	ctx = context.WithoutCancel(ctx)
	for _, r := range h.listeners.of(w) {
		h.unwatch(ctx, w, r)
	}
}

func (h *Handler) unwatch(ctx context.Context, w *watch, r resource) {
	if !h.listeners.leave(w, r) {
		return
	}
	h.work.Go(func() { _ = h.cfg.Caller.Unsubscribe(ctx, r.upstream, r.uri) }) // at worst there are notices for nobody
}

// admit takes room for a stream, or refuses it. It is given back by stream.
func (h *Handler) admit(w http.ResponseWriter, n *listener) bool {
	if h.streams.take(n.in.identity.Key()) {
		return true
	}
	w.Header().Set("Retry-After", "60")
	problem(w, http.StatusTooManyRequests, "overloaded", "too many streams are open")
	return false
}

// stream holds n open: until the token expires, the client leaves or the handler is
// closed. What is ready to be said first is said once nothing is missed any more.
func (h *Handler) stream(r *http.Request, n *listener, ready func()) {
	defer h.streams.give(n.in.identity.Key())
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if !n.in.identity.Expires.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, n.in.identity.Expires)
		defer cancel()
	}
	defer h.watched.add(n.in.identity, cancel)()
	if h.revoked(n.in.identity) { // since it was let in
		cancel()
	}
	defer h.listeners.add(n)()
	ready()
	if n.id != nil && n.wants.IsEmpty() {
		return
	}
	select {
	case <-ctx.Done():
	case <-h.ended.Done():
	}
}
