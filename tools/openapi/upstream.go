package openapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
	"github.com/deedbroker/deed/tools/web"
)

const invalidParams = -32602 // JSON-RPC 2.0, section 5.1

var errNotRead = errors.New("its OpenAPI document has not been read yet")

// Upstream is a service as an upstream.
type Upstream struct {
	cfg      Config
	document *url.URL
	base     *url.URL // nil: as the document says

	mu      sync.Mutex
	known   *service // guarded by mu; nil while no document has been read
	trouble error    // guarded by mu; why the document could not be read last
}

var _ tools.Upstream = (*Upstream)(nil)

// service is what a document says. It is not modified.
type service struct {
	base       *url.URL
	operations map[string]*operation // by the names of their tools
	tag        string                // the document's entity tag, if it has one
	digest     [32]byte              // of the document
}

// Definitions implements [tools.Upstream].
func (u *Upstream) Definitions(context.Context) ([]json.RawMessage, error) {
	s, err := u.service()
	if err != nil {
		return nil, err
	}
	all := make([]json.RawMessage, 0, len(s.operations))
	for _, o := range s.operations {
		all = append(all, o.definition.Raw)
	}
	slices.SortFunc(all, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
	return all, nil
}

// Health implements [tools.Upstream].
func (u *Upstream) Health() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.trouble
}

// Run implements [tools.Upstream]: it reads the document again and again. While it cannot be
// read the operations that are known stay.
func (u *Upstream) Run(ctx context.Context, changed func()) error {
	defer u.cfg.Transport.CloseIdleConnections()
	delays := backoff.NewExponentialBackOff()
	delays.MaxInterval = u.cfg.Refresh
	for {
		wait := u.cfg.Refresh
		news, err := u.read(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err != nil:
			wait = delays.NextBackOff()
			u.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "OpenAPI document not read", slog.Any("error", err), slog.Duration("again_in", wait))
		default:
			delays.Reset()
		}
		if news {
			changed()
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// read reads the document; news tells whether it, or the upstream's health, differs now.
func (u *Upstream) read(ctx context.Context) (news bool, err error) {
	u.mu.Lock()
	before, was := u.known, u.trouble
	u.mu.Unlock()
	now, err := u.load(ctx, before)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.trouble = err
	if err == nil {
		u.known = now
	}
	return err == nil && now != before || (err == nil) != (was == nil), err
}

func (u *Upstream) service() (*service, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.known == nil {
		return nil, fmt.Errorf("%w: %w", tools.ErrNotSent, u.trouble)
	}
	return u.known, nil
}

// Call implements [tools.Upstream]: one request.
func (u *Upstream) Call(ctx context.Context, c tools.Call) (tools.Answer, error) {
	if err := ctx.Err(); err != nil {
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, err)
	}
	s, err := u.service()
	if err != nil {
		return tools.Answer{}, err
	}
	o := s.operations[c.Tool]
	switch {
	case o == nil:
		return tools.Answer{}, &tools.RPCError{Code: invalidParams, Message: "unknown tool"}
	case c.Definition != "" && c.Definition != o.definition.Digest:
		return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrNotSent, tools.ErrChanged)
	}
	ctx, sent := web.Traced(credentials.With(ctx, c.Subject, c.Used))
	request, err := o.request(ctx, s.base, c)
	if err != nil {
		return tools.Answer{}, &tools.RPCError{Code: invalidParams, Message: err.Error()}
	}
	u.sign(request)
	response, err := u.client(s.base, o).Do(request)
	if err != nil {
		return tools.Answer{}, failure(ctx, err, sent.Load())
	}
	defer response.Body.Close() //nolint:errcheck // only read
	return o.answer(ctx, response, u.cfg.MaxAnswer)
}

// sign adds what the broker sends of itself. It comes last: no argument can be in its place.
func (u *Upstream) sign(r *http.Request) {
	for name, value := range u.cfg.Headers {
		r.Header.Set(name, value)
	}
}

func (u *Upstream) client(base *url.URL, o *operation) *http.Client {
	c := &http.Client{Transport: u.authorized()}
	c.CheckRedirect = func(next *http.Request, before []*http.Request) error {
		if next.Method != o.method || !strings.HasPrefix(next.URL.Path, base.Path+"/") || web.SameHost(base)(next, before) != nil {
			return http.ErrUseLastResponse // it is the answer
		}
		return nil
	}
	return c
}

func (u *Upstream) authorized() http.RoundTripper {
	if u.cfg.Credentials == nil {
		return u.cfg.Transport
	}
	return &credentials.Transport{Base: u.cfg.Transport, Source: u.cfg.Credentials, Header: u.cfg.CredentialHeader}
}

// failure tells what an error of a request means. Nothing of the URL is in it.
func failure(ctx context.Context, err error, sent bool) error {
	if missing, ok := errors.AsType[*credentials.Error](err); ok {
		return fmt.Errorf("%w: %w", tools.ErrNotSent, missing)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if sent {
		return fmt.Errorf("%w: %w", tools.ErrUncertain, web.Plain(err))
	}
	return fmt.Errorf("%w: %w", tools.ErrNotSent, web.Plain(err))
}
