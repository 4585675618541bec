package oauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/agents/reach"
	"github.com/deedbroker/deed/tools/credentials"
	"github.com/deedbroker/deed/tools/web"
)

// timeout bounds each request to an authorization server, and what is waited for one another.
const timeout = 10 * time.Second

// Config is the broker as a client of an upstream.
type Config struct {
	Upstream string // its name
	URL      string // where it is

	Issuer      string // the authorization server to use; empty: the one that the upstream names
	Credentials bool   // client credentials: nobody has to consent

	// A client that was registered beforehand.
	ClientID string
	Secret   credentials.Source // nil: a public client, or one with a key
	Key      *login.Key
	// Document is the URL of a Client ID Metadata Document, for authorization servers that read such.
	Document string

	Scopes []string // to ask for instead of those that the upstream names

	Dir    string // where consent is kept
	Logger *slog.Logger
}

// Client gets the tokens that an upstream asks for.
type Client struct {
	cfg   Config
	url   *url.URL
	http  *http.Client
	store *Store
	log   *slog.Logger

	turn chan struct{} // holds whoever gets tokens

	mu      sync.Mutex
	own     *owned       // guarded by mu; the token of client credentials
	failure failure      // guarded by mu
	known   knownServer  // guarded by mu
	unfit   login.Secret // guarded by mu; the last token with which a person has to act nevertheless
}

// failure is that no token could be gotten.
type failure struct {
	err error
	at  time.Time
}

// New makes a client. Nothing is asked of anybody yet.
func New(c Config) (*Client, error) {
	u, err := web.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	o := &Client{cfg: c, url: u, log: c.Logger, turn: make(chan struct{}, 1), store: NewStore(c.Dir, c.Upstream, c.URL)}
	if c.Credentials && (c.ClientID == "" || c.Secret == nil && c.Key == nil) {
		return nil, errors.New("client credentials need a client that was registered, and its secret or key")
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	home := []string{o.origin().String()}
	if c.Issuer != "" {
		home = append(home, c.Issuer)
	}
	if o.http, err = reach.NewOpen(home, timeout); err != nil {
		return nil, fmt.Errorf("configure OAuth: %w", err)
	}
	return o, nil
}

func (c *Client) origin() *url.URL { return &url.URL{Scheme: c.url.Scheme, Host: c.url.Host} }

// source names what the client gets, for events.
func (c *Client) source(id, issuer string) string {
	return "oauth://" + url.PathEscape(id) + "?issuer=" + url.QueryEscape(issuer)
}

// missing is the error of a request for which there is no token.
func (c *Client) missing(err error) error {
	return &credentials.Error{Source: "oauth://" + c.cfg.Upstream, Err: err}
}

// unconsented is the error where a person has to act.
func (c *Client) unconsented(reason string, more bool) error {
	return c.missing(&credentials.ConsentError{Upstream: c.cfg.Upstream, Reason: reason, More: more})
}

// alone runs do when nobody else of this process gets tokens for the upstream. Whoever asked
// first may leave; the others still want it.
func (c *Client) alone(ctx context.Context, do func(context.Context) error) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return c.missing(ctx.Err())
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*timeout)
	defer cancel()
	return do(ctx)
}
