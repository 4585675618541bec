package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
)

// maxWatched is how many resources of one server can be subscribed to at once.
const maxWatched = 256

var (
	errWatched = fmt.Errorf("more than %d of its resources are subscribed to", maxWatched)
	errUnread  = errors.New("the arguments are not those of a subscription")
)

var _ tools.Surface = (*Server)(nil)

// Features implements [tools.Surface].
func (s *Server) Features() tools.Features {
	now, err := s.session()
	if err != nil {
		return tools.Features{}
	}
	return now.features
}

// Page implements [tools.Surface].
func (s *Server) Page(ctx context.Context, l tools.Listing, cursor string) (tools.Page, error) {
	now, err := s.session()
	if err != nil {
		return tools.Page{}, err
	}
	if err := now.begin(); err != nil {
		return tools.Page{}, err
	}
	defer now.end()
	return now.page(ctx, mcp.MCPMethod(l), cursor)
}

// OnNotice implements [tools.Surface].
func (s *Server) OnNotice(notice func(tools.Notice)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notice = notice
}

// Unsubscribe implements [tools.Surface].
func (s *Server) Unsubscribe(ctx context.Context, uri string) error {
	s.mu.Lock()
	delete(s.watched, uri)
	s.mu.Unlock()
	now, err := s.session()
	if err != nil {
		return nil //nolint:nilerr // what is not connected is not subscribed
	}
	return now.unwatch(ctx, uri)
}

// subscribe runs a call with [tools.MethodSubscribe]. The subscription is renewed after each loss of the connection.
func (s *Server) subscribe(ctx context.Context, now *session, c tools.Call) (tools.Answer, error) {
	var p struct {
		URI string `json:"uri"`
	}
	if err := json.Unmarshal(c.Arguments, &p); err != nil || p.URI == "" {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, errUnread)
	}
	s.mu.Lock()
	full := !s.watched[p.URI] && len(s.watched) >= maxWatched
	s.mu.Unlock()
	if full {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, errWatched)
	}
	if err := now.watch(ctx, p.URI); err != nil {
		return tools.Answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watched[p.URI] = true
	return tools.Answer{Raw: json.RawMessage("{}")}, nil
}

// renew subscribes a new session to what was subscribed before.
func (s *Server) renew(ctx context.Context, now *session) {
	s.mu.Lock()
	uris := make([]string, 0, len(s.watched))
	for uri := range s.watched {
		uris = append(uris, uri)
	}
	s.mu.Unlock()
	for _, uri := range uris {
		if err := now.watch(ctx, uri); err == nil && s.notice != nil {
			s.notice(tools.Notice{URI: uri}) // it may have changed meanwhile
		}
	}
}

// watch has the server tell of changes to a resource.
func (s *session) watch(ctx context.Context, uri string) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	if legacyRevision(s.version) {
		params, err := json.Marshal(map[string]string{"uri": uri})
		if err != nil {
			return err
		}
		_, err = s.ask(ctx, mcp.MethodResourcesSubscribe, params)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.watched[uri]; ok {
		return nil
	}
	listening, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.watched[uri] = stop
	s.work.Go(func() { // it lasts until it is unwatched, or the connection ends
		defer stop()
		s.listenTo(listening, uri)
	})
	return nil
}

// unwatchAll ends the streams of all subscriptions. The caller holds mu.
func (s *session) unwatchAll() {
	for _, stop := range s.watched {
		stop()
	}
	clear(s.watched)
}

// listenTo holds a stream open on which a server tells of changes to a resource.
func (s *session) listenTo(ctx context.Context, uri string) {
	params, err := json.Marshal(struct {
		Notifications mcp.SubscriptionFilter `json:"notifications"`
		Meta          map[string]any         `json:"_meta"`
	}{mcp.SubscriptionFilter{ResourceSubscriptions: []string{uri}}, s.meta()})
	if err != nil {
		return
	}
	request := s.request(mcp.MethodSubscriptionsListen, params)
	_, err = s.client.GetTransport().SendRequest(ctx, request)
	if err != nil && ctx.Err() != nil {
		s.cancel(ctx, request)
	}
}

func (s *session) unwatch(ctx context.Context, uri string) error {
	if err := s.begin(); err != nil {
		return nil // what is not connected is not subscribed
	}
	defer s.end()
	if legacyRevision(s.version) {
		params, err := json.Marshal(map[string]string{"uri": uri})
		if err != nil {
			return err
		}
		_, err = s.ask(ctx, mcp.MethodResourcesUnsubscribe, params)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop, ok := s.watched[uri]; ok {
		stop()
		delete(s.watched, uri)
	}
	return nil
}
