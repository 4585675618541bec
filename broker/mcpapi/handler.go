package mcpapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/tools"
)

const instructions = "Every tool call here is decided by policy and recorded before it runs. A refused call says which policy refused it. " +
	"A call that needs a person's approval may be answered as pending: call " + awaitTool + " with its call_id, or repeat the same call, to get the outcome."

// Handler serves MCP to agents. Its zero value is of no use: see [New].
type Handler struct {
	cfg       Config
	origins   origins
	sessions  *sessions
	streams   *slots
	watched   openStreams // which end with a revocation
	watching  sync.WaitGroup
	known     []string // scopes that are asked for somewhere here
	listed    *listing
	listeners *listeners

	conversations *conversations
	taskQuestions *taskQuestions
	answered      marks // tasks whose clients were shown where they are decided on
	mcp           *server.MCPServer
	transport     *server.StreamableHTTPServer
	serverInfo    []byte // JSON, for the results that are written here
	metadata      []byte
	key           []byte // for what clients bring back
	mux           *http.ServeMux

	work  sync.WaitGroup  // conversations, and what streams leave behind
	ended context.Context //nolint:containedctx // the life of the handler, not of a request
	end   context.CancelFunc
}

// inbound is what is known of a request before its body is.
type inbound struct {
	identity *agents.Identity
	upstream string // of /mcp/{upstream}; empty at /mcp
	session  string // that mcp-go may use: the one presented, or the one just opened
}

type inboundKey struct{}

// New checks cfg and returns a handler. The caller MUST end it with [Handler.Close].
func New(cfg Config) (*Handler, error) {
	canonical, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("configure mcp endpoint: %w", err)
	}
	h := &Handler{
		cfg:      cfg,
		origins:  origins{canonical: canonical},
		sessions: newSessions(cfg.Limits),
		streams:  newSlots(cfg.Limits.MaxStreams, cfg.Limits.MaxStreamsPerIdentity),
		listed:   new(listing),

		listeners:     newListeners(),
		conversations: newConversations(cfg.Limits.MaxSessionsPerIdentity),
		taskQuestions: newTaskQuestions(),
		known:         cfg.Scopes.all(),
		mux:           http.NewServeMux(),
		key:           cfg.StateKey,
	}
	if h.key == nil {
		h.key = []byte(rand.Text())
	}
	h.conversations.replica = cfg.Replica
	h.ended, h.end = context.WithCancel(context.Background())
	h.sessions.ended = func(s *session) { h.unwatchAll(h.ended, s.watch) }
	if h.serverInfo, err = json.Marshal(mcp.Implementation{Name: serverName, Version: cfg.Version}); err != nil {
		return nil, fmt.Errorf("configure mcp endpoint: %w", err)
	}
	if h.metadata, err = protectedResource(cfg, "", cfg.Scopes.all()); err != nil {
		return nil, fmt.Errorf("configure mcp endpoint: %w", err)
	}
	h.mcp = server.NewMCPServer(serverName, cfg.Version, server.WithToolCapabilities(true), server.WithLogging(),
		server.WithResourceCapabilities(true, true), server.WithPromptCapabilities(true), server.WithCompletions(),
		server.WithExtensions(map[string]any{tasksExtension: struct{}{}}),
		server.WithInstructions(instructions), server.WithHooks(h.hooks()))
	h.transport = server.NewStreamableHTTPServer(h.mcp, server.WithSessionIdManagerResolver(sessionResolver{h.sessions}),
		server.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler)))
	h.routes()
	if cfg.Revocations != nil {
		h.watching.Go(h.watchRevocations)
	}
	if cfg.ToolsChanged != nil {
		cfg.ToolsChanged(h.toolsChanged)
	}
	if cfg.Notices != nil {
		cfg.Notices(h.notice)
	}
	return h, nil
}

const serverName = "deed"

func (h *Handler) routes() {
	h.mux.Handle("/mcp", h.guard(h.endpoint))
	h.mux.Handle("/mcp/{upstream}", h.guard(h.endpoint))
	h.mux.HandleFunc("GET "+metadataPath, h.serveMetadata)
	h.mux.HandleFunc("GET "+metadataPath+"/mcp", h.serveMetadata)
	h.mux.HandleFunc("GET "+metadataPath+"/mcp/{upstream}", h.serveMetadata)
}

// ServeHTTP serves /mcp, /mcp/{upstream} and the documents below
// /.well-known/oauth-protected-resource. It sets its own deadlines for reading and
// writing: the server's WriteTimeout must be zero, or calls that wait for
// people are cut off.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Close ends all streams of notifications, and all waiting for answers of clients, so
// that a server can shut down. Calls are not touched: they end with their requests.
func (h *Handler) Close(ctx context.Context) error {
	h.end()
	h.watching.Wait()
	over := make(chan struct{})
	go func() { // ends with the broker's calls at the latest
		h.work.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
	}
	if err := h.transport.Shutdown(ctx); err != nil {
		return fmt.Errorf("close mcp endpoint: %w", err)
	}
	return nil
}

func (h *Handler) toolsChanged() {
	h.listed.forget()
	h.listeners.changed(noteTools, "")
}

// notice passes on what an upstream tells of itself.
func (h *Handler) notice(upstream string, n tools.Notice) {
	switch {
	case n.URI != "":
		h.listeners.updated(resource{upstream, n.URI})
	case n.Listing == tools.ListPrompts:
		h.listeners.changed(notePrompts, upstream)
	default:
		h.listeners.changed(noteResources, upstream)
	}
}

// endpoint serves one authenticated request.
func (h *Handler) endpoint(w http.ResponseWriter, r *http.Request, id *agents.Identity) {
	in := &inbound{identity: id, upstream: r.PathValue("upstream")}
	if in.upstream != "" && !slices.Contains(h.cfg.Upstreams(), in.upstream) {
		problem(w, http.StatusNotFound, "not_found", "there is no upstream of this name")
		return
	}
	if !h.requireScopes(w, r, id) {
		return
	}
	if name := repeatedHeader(r.Header); name != "" {
		problem(w, http.StatusBadRequest, "invalid", "the header "+name+" is sent more than once")
		return
	}
	switch r.Method {
	case http.MethodPost:
		h.post(w, r, in)
	case http.MethodGet, http.MethodDelete:
		h.sessionRequest(w, r, in)
	default:
		w.Header().Set("Allow", "POST, GET, DELETE")
		problem(w, http.StatusMethodNotAllowed, "invalid", "this method is not part of MCP")
	}
}

// hooks keeps what mcp-go learns and the calls here need.
func (h *Handler) hooks() *server.Hooks {
	hooks := new(server.Hooks)
	hooks.AddAfterInitialize(func(_ context.Context, _ any, _ *mcp.InitializeRequest, result *mcp.InitializeResult) {
		if result.ProtocolVersion == mcp.ProtocolVersion20251125 { // later it is an extension
			result.Capabilities.Tasks = tasksCapability()
		}
	})
	hooks.AddAfterSetLevel(func(ctx context.Context, _ any, r *mcp.SetLevelRequest, _ *mcp.EmptyResult) {
		if in, ok := ctx.Value(inboundKey{}).(*inbound); ok {
			h.sessions.setLevel(in.session, string(r.Params.Level))
		}
	})
	return hooks
}

// slots bounds how many things are held at once, in total and for each key.
type slots struct {
	total, each int

	mu   sync.Mutex
	used int            // guarded by mu
	by   map[string]int // guarded by mu
}

func newSlots(total, each int) *slots {
	return &slots{total: total, each: each, by: map[string]int{}}
}

func (s *slots) take(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used >= s.total || s.by[key] >= s.each {
		return false
	}
	s.used++
	s.by[key]++
	return true
}

func (s *slots) give(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if s.by[key]--; s.by[key] == 0 {
		delete(s.by, key)
	}
}
