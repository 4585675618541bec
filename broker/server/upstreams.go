package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/broker/sentence"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
	"github.com/deedbroker/deed/tools/files"
	"github.com/deedbroker/deed/tools/ledger"
	"github.com/deedbroker/deed/tools/openapi"
	"github.com/deedbroker/deed/tools/upstream"
)

// openTools reads the policies and registers the upstreams. These start with Run.
func (s *Server) openTools(ctx context.Context) error {
	text, err := policyFiles(s.cfg)
	if err != nil {
		return err
	}
	if s.policies, err = broker.NewPolicies(text, policyOptions(s.cfg)); err != nil {
		return err
	}
	s.registry = tools.NewRegistry(tools.RegistryOptions{
		Logger: s.opt.Logger, Review: s.review, OnChange: s.onToolsChanged,
		OnNotice: func(upstream string, n tools.Notice) { s.notice(upstream, n) },
		OnCall:   s.called,
	})
	if err := s.watchUpstreams(); err != nil {
		return err
	}
	if s.keepers, err = newKeepers(s.cfg); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Upstreams)) {
		u := s.cfg.Upstreams[name]
		made, err := s.upstream(ctx, name, u)
		if err != nil {
			return fmt.Errorf("upstream %s: %w", name, err)
		}
		if err := s.registry.Add(name, u.Domain, made, limits(u)); err != nil {
			return err
		}
	}
	return nil
}

func resources(r config.Resources) upstream.Resources {
	return upstream.Resources{Memory: int64(r.Memory), CPU: r.CPU.Duration, Files: r.Files, Processes: r.Processes}
}

// limits are those of an upstream's calls.
func limits(u config.Upstream) tools.Options {
	o := tools.Options{
		ToolOptions: tools.ToolOptions{Timeout: u.Timeout.Duration, Concurrency: u.Concurrency},
		Breaker:     tools.Breaker{Failures: u.Breaker.Failures, Cooldown: u.Breaker.Cooldown.Duration},
		Tools:       map[string]tools.ToolOptions{},
	}
	for name, t := range u.Tools {
		o.Tools[name] = tools.ToolOptions{Timeout: t.Timeout.Duration, Concurrency: t.Concurrency}
	}
	return o
}

func callLimits(c config.Calls) broker.Limits {
	limit := func(l config.CallLimit) broker.Limit {
		return broker.Limit{PerSecond: l.Rate.PerSecond(), Concurrent: l.Concurrent}
	}
	return broker.Limits{Principal: limit(c.Principal), Agent: limit(c.Agent), Tool: limit(c.Tool), Tenant: limit(c.Tenant)}
}

// answer is how much an upstream may answer.
func (s *Server) answer(u config.Upstream) int {
	if u.Answer > 0 {
		return int(u.Answer)
	}
	return int(s.cfg.Limits.Answer)
}

// review finds the tools that cannot be called: those that policies do not fit, and those whose
// definitions a person has to look at first.
func (s *Server) review(ts []*tools.Tool) map[string]string {
	found := s.policies.Review(ts)
	if s.broker != nil {
		maps.Copy(found, s.broker.Untrusted(ts))
	}
	return found
}

// trust is how far the definitions of each upstream are believed.
func trust(cfg *config.Config) map[string]broker.Trust {
	all := map[string]broker.Trust{}
	for name, u := range cfg.Upstreams {
		switch {
		case u.Kind() == config.KindBuiltin, u.Trust == config.TrustAny:
			all[name] = broker.TrustAny
		case u.Trust == config.TrustReviewed:
			all[name] = broker.TrustReviewed
		}
	}
	return all
}

func policyOptions(cfg *config.Config) policy.Options {
	return policy.Options{
		Upstreams:   slices.Sorted(maps.Keys(cfg.Upstreams)),
		DefaultHold: cfg.Holds.Expires.Duration,
	}
}

// once says how repeats are recognised, by tool.
func once(cfg *config.Config) map[string]broker.Once {
	all := map[string]broker.Once{}
	for name, u := range cfg.Upstreams {
		for tool, i := range u.Idempotency {
			all[tools.QualifiedName(name, tool)] = broker.Once{Field: i.Field, Within: i.Within.Duration}
		}
	}
	return all
}

// keyHeaders are those that take an idempotency key, by the tool's own name.
func keyHeaders(u config.Upstream) map[string]string {
	headers := map[string]string{}
	for tool, i := range u.Idempotency {
		headers[tool] = i.Header
	}
	return headers
}

// sentences are how calls are put into words, by tool. The configuration was validated.
func sentences(cfg *config.Config) map[string]sentence.Template {
	all := map[string]sentence.Template{}
	for name, u := range cfg.Upstreams {
		for tool, text := range u.Sentences {
			if t, err := sentence.Parse(text); err == nil {
				all[tools.QualifiedName(name, tool)] = t
			}
		}
	}
	return all
}

// dryRuns say how it is found out what a call would change, by tool. What would be written
// to a file can be compared with what is there without being told to.
func dryRuns(cfg *config.Config) map[string]broker.DryRun {
	all := map[string]broker.DryRun{}
	for name, u := range cfg.Upstreams {
		if u.Builtin == config.BuiltinFiles {
			all[tools.QualifiedName(name, "write_file")] = broker.DryRun{Tool: tools.QualifiedName(name, "read_file"), Keep: []string{"path"}, Against: "content"}
		}
		for tool, d := range u.DryRuns {
			how := broker.DryRun{Keep: d.Keep, Against: d.Against, Arguments: map[string]json.RawMessage{}}
			if d.Tool != "" {
				how.Tool = tools.QualifiedName(name, d.Tool)
			}
			for argument, value := range d.Arguments {
				how.Arguments[argument] = value.JSON()
			}
			all[tools.QualifiedName(name, tool)] = how
		}
	}
	return all
}

// onToolsChanged records new definitions, and tells clients.
func (s *Server) onToolsChanged(ts []*tools.Tool) {
	ctx := context.Background()
	if err := s.broker.Pin(ctx, ts); err != nil {
		s.opt.Logger.LogAttrs(ctx, slog.LevelError, "tool definitions not recorded", slog.Any("error", err))
	}
	s.toolsChanged()
}

func (s *Server) upstream(ctx context.Context, name string, u config.Upstream) (tools.Upstream, error) {
	switch u.Kind() {
	case config.KindCommand:
		return upstream.NewStdio(upstream.StdioConfig{
			Command: u.Command[0], Args: u.Command[1:], Dir: u.Dir, Env: u.Env, Resources: resources(u.Resources),
			MaxAnswer: s.answer(u), Logger: s.opt.Logger.With(slog.String("upstream", name)),
		})
	case config.KindHTTP:
		return s.httpUpstream(ctx, name, u)
	case config.KindBuiltin:
		return s.builtin(ctx, u)
	case config.KindOpenAPI:
		return s.serviceUpstream(ctx, name, u)
	case config.KindUnknown:
	}
	return nil, fmt.Errorf("it is neither a command, a url, an openapi nor a builtin")
}

func (s *Server) httpUpstream(ctx context.Context, name string, u config.Upstream) (tools.Upstream, error) {
	headers, shown, err := s.shown(ctx, u)
	if err != nil {
		return nil, err
	}
	c := upstream.HTTPConfig{
		URL: u.URL, SSE: u.Transport == config.TransportSSE, Headers: headers, Credentials: shown, KeyHeaders: keyHeaders(u),
		MaxAnswer: s.answer(u),
	}
	if u.Auth != nil {
		c.CredentialHeader = u.Auth.Header
	}
	if u.Auth != nil && u.Auth.OAuth != nil {
		client, err := s.keepers.oauth(s.cfg, name, s.opt.Logger)
		if err != nil {
			return nil, fmt.Errorf("auth: %w", err)
		}
		c.Authorizer = client
	}
	return upstream.NewHTTP(c)
}

// serviceUpstream is that of a service with an OpenAPI document.
func (s *Server) serviceUpstream(ctx context.Context, name string, u config.Upstream) (tools.Upstream, error) {
	headers, shown, err := s.shown(ctx, u)
	if err != nil {
		return nil, err
	}
	c := openapi.Config{
		Document: u.OpenAPI, Base: u.BaseURL, Headers: headers, Credentials: shown, MaxAnswer: s.answer(u),
		Logger: s.opt.Logger.With(slog.String("upstream", name)),
	}
	if u.Auth != nil {
		c.CredentialHeader = u.Auth.Header
	}
	for _, m := range u.Operations.Include {
		c.Operations.Include = append(c.Operations.Include, openapi.Match(m))
	}
	for _, m := range u.Operations.Exclude {
		c.Operations.Exclude = append(c.Operations.Exclude, openapi.Match(m))
	}
	return openapi.New(c)
}

// shown is what an upstream over HTTP is shown of the broker.
func (s *Server) shown(ctx context.Context, u config.Upstream) (headers map[string]string, source credentials.Source, err error) {
	headers = map[string]string{}
	for name, value := range u.Headers {
		if headers[name], err = value.Resolve(); err != nil {
			return nil, nil, fmt.Errorf("header %s: %w", name, err)
		}
	}
	if source, err = s.keepers.source(ctx, u.Auth); err != nil {
		return nil, nil, fmt.Errorf("auth: %w", err)
	}
	return headers, source, nil
}

func (s *Server) builtin(ctx context.Context, u config.Upstream) (tools.Upstream, error) {
	switch u.Builtin {
	case config.BuiltinFiles:
		f, err := files.Open(u.Dir, files.Options{})
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, f.Close)
		return f, nil
	case config.BuiltinLedger:
		if err := os.MkdirAll(u.Dir, 0o700); err != nil { // the default is below the data directory
			return nil, err
		}
		l, err := ledger.Open(ctx, filepath.Join(u.Dir, "ledger.db"))
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, l.Close)
		return l, nil
	default:
		return nil, fmt.Errorf("there is no builtin %q", u.Builtin)
	}
}
