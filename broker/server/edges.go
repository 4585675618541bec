package server

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/reach"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/console"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/live"
	"github.com/deedbroker/deed/broker/mcpapi"
	"github.com/deedbroker/deed/tools"
)

// openEdges makes what agents, people and operators talk to.
func (s *Server) openEdges(context.Context) error {
	if s.opt.Metrics == nil {
		s.opt.Metrics = http.NotFoundHandler()
	}
	state, err := s.keys.Key().Derive("requestState of MCP")
	if err != nil {
		return err
	}
	if s.mcp, err = mcpapi.New(mcpapi.Config{
		Caller: s.broker, Verifier: s.verifier, Tools: s.registry, URL: s.cfg.URL, Issuers: s.issuers(), Scopes: scopes(s.cfg),
		Upstreams: func() []string { return slices.Sorted(maps.Keys(s.cfg.Upstreams)) },
		Reject:    s.broker.Reject, Revocations: s.broker, ToolsChanged: func(notify func()) { s.toolsChanged = notify },
		Notices: func(notify func(string, tools.Notice)) { s.notice = notify },
		Replica: s.opt.Replica, StateKey: state, Version: s.opt.Version, Logger: s.opt.Logger, Limits: mcpapi.Limits{MaxBytes: int64(s.cfg.Limits.Body)},
	}); err != nil {
		return err
	}
	reached, err := s.reached()
	if err != nil {
		return err
	}
	if s.console, err = console.New(console.Config{
		URL: s.cfg.URL, Issuers: s.issuers(), Verifier: s.verifier, Logger: s.opt.Logger, Reject: s.broker.Reject, HTTP: reached, Clients: s.consoleClients(),
		Revocations: s.broker,
	}); err != nil {
		return err
	}
	return nil
}

func (s *Server) consoleClients() map[string]console.Client {
	clients := map[string]console.Client{}
	for _, i := range s.cfg.Issuers {
		clients[i.URL] = console.Client{ID: i.Console.ClientID, Scopes: i.Console.Scopes}
	}
	return clients
}

// reached are clients that reach each issuer, and nothing else in its name.
func (s *Server) reached() (map[string]*http.Client, error) {
	clients := map[string]*http.Client{}
	for _, i := range s.cfg.Issuers {
		peer, err := reach.New(i.URL, i.Hosts, loginTimeout, nil)
		if err != nil {
			return nil, fmt.Errorf("issuer %s: %w", i.URL, err)
		}
		clients[i.URL] = peer.Client()
	}
	return clients, nil
}

// loginTimeout bounds a request to an issuer while a person waits.
const loginTimeout = 30 * time.Second

// scopes are those that tokens must have, as the endpoint for agents takes them.
func scopes(cfg *config.Config) mcpapi.Scopes {
	all := mcpapi.Scopes{Required: cfg.Scopes.Required, Upstreams: map[string][]string{}, Tools: map[string][]string{}, Includes: map[string][]string{}}
	maps.Copy(all.Includes, cfg.Scopes.Includes)
	for name, u := range cfg.Upstreams {
		all.Upstreams[name] = u.Scopes
		for tool, more := range u.ToolScopes {
			all.Tools[tools.QualifiedName(name, tool)] = more
		}
	}
	return all
}

// registered are the agents that the configuration in force names.
func (s *Server) registered() map[string]httpapi.RegisteredAgent {
	all := map[string]httpapi.RegisteredAgent{}
	for id, a := range *s.agents.Load() {
		all[id] = httpapi.RegisteredAgent{Owner: a.Owner, Purpose: a.Purpose, Roles: a.Roles}
	}
	return all
}

// agentRoles are their roles.
func (s *Server) agentRoles() map[string][]string {
	all := map[string][]string{}
	for id, a := range *s.agents.Load() {
		all[id] = a.Roles
	}
	return all
}

func (s *Server) issuers() []string {
	var urls []string
	for _, i := range s.cfg.Issuers {
		urls = append(urls, i.URL)
	}
	return urls
}

// api makes what people and scripts use.
func (s *Server) openAPI(context.Context) error {
	auth, err := httpapi.NewAuthenticator(httpapi.AuthConfig{
		Verifier: s.verifier, Sessions: s.console, Revocations: s.broker, URL: s.cfg.URL, Reject: s.broker.Reject, Logger: s.opt.Logger,
	})
	if err != nil {
		return err
	}
	if s.hub, err = live.New(live.Config{
		Log: s.log, Start: s.broker.Start(), Auth: auth, Policy: s.broker, Revocations: s.broker,
		Opened: func(ctx context.Context, viewer *agents.Identity, from string) error {
			return s.broker.Browsing(ctx, viewer, audit.Reading{What: audit.ReadStream, For: from})
		},
		Epoch: func() any { return s.policies.Set() }, Opening: s.opening, Status: s.status,
		URL: s.cfg.URL, Logger: s.opt.Logger, Meter: s.opt.Meter, Limits: live.Limits{MaxViewers: s.cfg.Limits.Viewers},
	}); err != nil {
		return err
	}
	s.api, err = httpapi.New(httpapi.Config{
		Broker: s.broker, History: s.index, Log: s.log, Sealer: s.sealer, Catalogue: s.registry, Policies: s.policies,
		Agents:  s.registered,
		Spooled: s.spooled,
		Push:    s.subscriptions(),
		Domains: func() []string { return slices.Sorted(maps.Keys(s.cfg.Domains)) },
		Auth:    auth, Stream: s.hub, Metrics: s.opt.Metrics, Ready: s.checks(), Logger: s.opt.Logger,
	})
	return err
}

// routes is everything that is served. The paths of the edges do not overlap; what
// is nobody's is the console's.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/mcp", s.mcp)
	mux.Handle("/mcp/", s.mcp)
	mux.Handle("/.well-known/", s.mcp)
	mux.Handle("/.well-known/jwks.json", s.api)
	if s.describesItself() {
		mux.HandleFunc("GET "+config.ClientMetadataPath, s.clientMetadata)
	}
	mux.HandleFunc(logoutPath, s.serveLogout)
	mux.Handle("/v1/", s.api)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		mux.Handle(path, s.api)
	}
	mux.Handle("/", s.console)
	return mux
}

// opening finds whose call it is, for viewers of records that follow its opening.
func (s *Server) opening(ctx context.Context, callID string) (broker.Subject, error) {
	h, err := s.index.Call(ctx, callID)
	if err != nil {
		return broker.Subject{}, err
	}
	return broker.SubjectOf(h.Folded), nil
}
