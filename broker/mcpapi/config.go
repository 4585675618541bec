package mcpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
)

// Defaults of [Limits].
const (
	DefaultMaxBytes               = 4 << 20
	DefaultMaxSessions            = 4096
	DefaultMaxSessionsPerIdentity = 64
	DefaultMaxStreams             = 1_000
	DefaultMaxStreamsPerIdentity  = 16
	DefaultSessionIdle            = time.Hour
	DefaultReadTimeout            = 30 * time.Second
	DefaultWriteTimeout           = 30 * time.Second
	DefaultCallTimeout            = 10 * time.Minute
	DefaultAnswerTimeout          = 5 * time.Minute
)

// Caller is the broker as agents use it; its errors are read by [broker.AsError].
type Caller interface {
	// Call makes one call. A reply with Pending set means that it is held.
	Call(ctx context.Context, r broker.Request) (*broker.Reply, error)
	// Await waits for the outcome of the caller's held call.
	Await(ctx context.Context, id *agents.Identity, callID string, waiting func(broker.Pending)) (*broker.Reply, error)
	// Task is one of the caller's tasks, Tasks lists them a page at a time, and CancelTask has one end.
	Task(ctx context.Context, id *agents.Identity, callID string) (broker.Task, error)
	Tasks(ctx context.Context, id *agents.Identity, before string, n int) (list []broker.Task, next string, err error)
	CancelTask(ctx context.Context, id *agents.Identity, callID string) (broker.Task, error)
	// Visible are the tools that the caller could call with some arguments, sorted.
	Visible(ctx context.Context, id *agents.Identity) []*tools.Tool
	// Browse lists a page of what an upstream offers beside tools, and the caller may use.
	Browse(ctx context.Context, id *agents.Identity, upstream string, l tools.Listing, cursor string) (tools.Page, error)
	// Unsubscribe ends what a call with tools.MethodSubscribe began, once nobody is subscribed any more.
	Unsubscribe(ctx context.Context, upstream, uri string) error
}

// Tools finds tools by name, as [tools.Registry] does.
type Tools interface {
	ByWire(wire string) (*tools.Tool, error)
	Lookup(qualified string) (*tools.Tool, error)
	Features(upstream string) tools.Features
}

// Config is what a [Handler] needs.
type Config struct {
	Caller   Caller
	Verifier agents.Verifier
	Tools    Tools

	URL       string          // canonical: scheme and host, as in https://deed.example
	Issuers   []string        // authorization servers, named to clients that have no token
	Scopes    Scopes          // that tokens must have
	Upstreams func() []string // the names that have a path of their own; called for each request

	// Reject is told of every request whose token was not accepted.
	Reject func(context.Context, *agents.Rejection)
	// Revocations ends the streams and sessions of those who are revoked; may be nil.
	Revocations agents.Revocations
	// ToolsChanged subscribes to changes of what Caller.Visible may return; may be nil.
	ToolsChanged func(notify func())
	// Notices subscribes to what upstreams tell of themselves; may be nil.
	Notices func(notify func(upstream string, n tools.Notice))

	// Replica is this process's name among those that share the log, and StateKey a secret of
	// theirs; nil: what clients bring back is good at this process only.
	Replica  string
	StateKey []byte

	Version string // of the product
	Logger  *slog.Logger
	Limits  Limits
}

// Limits bound what clients can make grow. Zero values mean the defaults.
type Limits struct {
	MaxBytes               int64 // of a request's body
	MaxSessions            int   // that are open at once
	MaxSessionsPerIdentity int   // beyond it, an identity's least recently used one ends
	MaxStreams             int   // open streams of notifications, beside those of calls
	MaxStreamsPerIdentity  int
	SessionIdle            time.Duration // after which a session may end
	ReadTimeout            time.Duration // for a request's body
	WriteTimeout           time.Duration // for each piece of an answer
	CallTimeout            time.Duration // for one call, waiting for people included
	AnswerTimeout          time.Duration // for a client to come back with an answer, since revision 2026-07-28
}

func (l *Limits) fill() error {
	if l.MaxBytes < 0 || l.MaxSessions < 0 || l.MaxSessionsPerIdentity < 0 || l.MaxStreams < 0 || l.MaxStreamsPerIdentity < 0 ||
		l.SessionIdle < 0 || l.ReadTimeout < 0 || l.WriteTimeout < 0 || l.CallTimeout < 0 || l.AnswerTimeout < 0 {
		return errors.New("a limit is negative")
	}
	setDefault(&l.MaxBytes, DefaultMaxBytes)
	setDefault(&l.MaxSessions, DefaultMaxSessions)
	setDefault(&l.MaxSessionsPerIdentity, DefaultMaxSessionsPerIdentity)
	setDefault(&l.MaxStreams, DefaultMaxStreams)
	setDefault(&l.MaxStreamsPerIdentity, DefaultMaxStreamsPerIdentity)
	setDefault(&l.SessionIdle, DefaultSessionIdle)
	setDefault(&l.ReadTimeout, DefaultReadTimeout)
	setDefault(&l.WriteTimeout, DefaultWriteTimeout)
	setDefault(&l.CallTimeout, DefaultCallTimeout)
	setDefault(&l.AnswerTimeout, DefaultAnswerTimeout)
	return nil
}

func setDefault[T comparable](v *T, d T) {
	if *v == *new(T) {
		*v = d
	}
}

// check completes the configuration, and gives the parsed URL.
func (c *Config) check() (*url.URL, error) {
	if c.Caller == nil || c.Verifier == nil || c.Tools == nil || c.Upstreams == nil || c.Reject == nil || c.Logger == nil {
		return nil, errors.New("caller, verifier, tools, upstreams, reject and logger are required")
	}
	if err := errors.Join(c.Limits.fill(), c.Scopes.check()); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("canonical url: %w", err)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("canonical url %q must be http(s)://host[:port] and nothing else", u.Redacted())
	}
	return u, nil
}
