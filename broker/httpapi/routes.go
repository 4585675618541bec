package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
)

// api is the state behind the handlers: none but its configuration, and whether a draft
// of the policies is being tried.
type api struct {
	cfg       Config
	replaying sync.Mutex
	packing   sync.Mutex
}

// endpoint answers one authenticated request.
type endpoint func(w http.ResponseWriter, r *http.Request, v *viewer) error

// route is one operation, as the ServeMux and the OpenAPI document name it.
type route struct {
	method, path string
	handler      http.Handler
}

// New returns the handler of /v1/, /healthz, /readyz and /metrics.
func New(cfg Config) (http.Handler, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("configure http api: %w", err)
	}
	a := &api{cfg: cfg}
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, r := range a.routes() {
		mux.Handle(r.method+" "+r.path, r.handler)
		methods[r.path] = append(methods[r.path], r.method)
	}
	for path, allowed := range methods {
		mux.Handle(path, notAllowed(strings.Join(allowed, ", ")))
	}
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, _ *http.Request) {
		WriteProblem(w, ProblemOf(notFound("there is no such resource; /v1/openapi.json lists them")))
	})
	return mux, nil
}

func (a *api) routes() []route {
	return []route{
		{http.MethodGet, "/v1/whoami", a.known(a.whoami)},
		{http.MethodGet, "/v1/overview", a.known(a.showOverview)},
		{http.MethodGet, "/v1/calls", a.known(a.listCalls)},
		{http.MethodGet, "/v1/calls/{id}", a.known(a.showCall)},
		{http.MethodDelete, "/v1/calls/{id}", a.known(a.cancelCall)},
		{http.MethodPost, "/v1/calls/{id}/approvals", a.known(a.voteOnCall)},
		{http.MethodPost, "/v1/calls/{id}/dry-run", a.known(a.runDry)},
		{http.MethodPost, "/v1/calls/{id}/reconciliation", a.known(a.reconcileCall)},
		{http.MethodGet, "/v1/grants", a.known(a.listGrants)},
		{http.MethodPost, "/v1/grants", a.known(a.makeGrant)},
		{http.MethodPost, "/v1/grant-preview", a.known(a.previewGrant)},
		{http.MethodDelete, "/v1/grants/{id}", a.known(a.endGrant)},
		{http.MethodGet, "/v1/push", a.known(a.showPush)},
		{http.MethodPost, "/v1/push", a.known(a.subscribe)},
		{http.MethodDelete, "/v1/push", a.known(a.unsubscribe)},
		{http.MethodGet, "/v1/agents", a.known(a.listAgents)},
		{http.MethodGet, "/v1/revocations", a.known(a.listRevocations)},
		{http.MethodPost, "/v1/revocations", a.known(a.revoke)},
		{http.MethodDelete, "/v1/revocations/{id}", a.known(a.liftRevocation)},
		{http.MethodPost, "/v1/erasure-preview", a.known(a.previewErasure)},
		{http.MethodPost, "/v1/erasures", a.known(a.erase)},
		{http.MethodGet, "/v1/legal-holds", a.known(a.listLegalHolds)},
		{http.MethodPost, "/v1/legal-holds", a.known(a.placeLegalHold)},
		{http.MethodDelete, "/v1/legal-holds/{id}", a.known(a.liftLegalHold)},
		{http.MethodGet, "/v1/tools", a.known(a.listTools)},
		{http.MethodGet, "/v1/upstreams", a.known(a.listUpstreams)},
		{http.MethodGet, "/v1/tools/{name}/definition", a.known(a.showDefinition)},
		{http.MethodPost, "/v1/tools/{name}/definition", a.known(a.approveDefinition)},
		{http.MethodGet, "/v1/policy", a.known(a.showPolicy)},
		{http.MethodPost, "/v1/policy/try", a.knownUpTo(maxDraft, a.tryPolicy)},
		{http.MethodPost, "/v1/policy/replay", a.knownUpTo(maxDraft, a.replayPolicy)},
		{http.MethodGet, "/v1/keys", a.known(a.showKeys)},
		{http.MethodPost, "/v1/keys/rotations", a.known(a.rotateKey)},
		{http.MethodGet, "/v1/evidence", a.known(a.showEvidence)},
		{http.MethodGet, "/v1/checkpoint", a.known(a.showCheckpoint)},
		{http.MethodGet, "/v1/proof/inclusion", a.known(a.proveInclusion)},
		{http.MethodGet, "/v1/proof/consistency", a.known(a.proveConsistency)},
		{http.MethodGet, "/v1/logs/{domain}/{topic}/{path...}", a.known(a.showLog)},
		{http.MethodGet, "/v1/openapi.json", http.HandlerFunc(showDescription)},
		{http.MethodGet, "/v1/stream", a.cfg.Stream},
		{http.MethodGet, "/.well-known/jwks.json", http.HandlerFunc(a.statementKeys)},
		{http.MethodGet, "/healthz", http.HandlerFunc(alive)},
		{http.MethodGet, "/readyz", http.HandlerFunc(a.ready)},
		{http.MethodGet, "/metrics", a.cfg.Metrics},
	}
}

// known lets a request through to h once its caller is known, and turns what h
// returns into a problem.
func (a *api) known(h endpoint) http.Handler { return a.knownUpTo(a.cfg.MaxBody, h) }

// knownUpTo is known for bodies of another size.
func (a *api) knownUpTo(maxBody int64, h endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, ok := a.cfg.Auth.Require(w, r)
		if !ok {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), a.cfg.Timeout)
		defer cancel()
		defer a.hurry(w)()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if err := h(w, r, &viewer{id: id, policy: a.cfg.Broker}); err != nil {
			if errors.Is(err, errWithheld) {
				a.cfg.Auth.Refuse(ctx, agents.Foreign(id))
			}
			a.fail(w, r, err)
		}
	})
}

// hurry bounds how long a client may take to send a request and to take its answer.
// What it returns takes the bound off the connection, for requests to come.
func (a *api) hurry(w http.ResponseWriter) (done func()) {
	c, due := http.NewResponseController(w), time.Now().Add(a.cfg.Timeout)
	if errors.Join(c.SetReadDeadline(due), c.SetWriteDeadline(due.Add(a.cfg.Timeout))) != nil {
		return func() {} // not a connection of a real server
	}
	return func() { _ = c.SetWriteDeadline(time.Time{}) } // gone already: so is its deadline
}

func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := ProblemOf(err)
	if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
		a.cfg.Logger.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("route", r.Pattern), slog.String("kind", p.Kind), slog.Any("error", err))
	}
	WriteProblem(w, p)
}

func notAllowed(methods string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", methods)
		WriteProblem(w, Problem{Status: http.StatusMethodNotAllowed, Kind: broker.Invalid.String(), Detail: "this resource takes " + methods})
	})
}

func (a *api) whoami(w http.ResponseWriter, _ *http.Request, v *viewer) error {
	write(w, http.StatusOK, mediaJSON, WhoIs(v.id))
	return nil
}

const mediaJSON = "application/json"
