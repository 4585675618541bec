package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/apache/pulsar-client-go/pulsaradmin/pkg/rest"

	"github.com/deedbroker/deed/audit/pulsar/hosts"
)

// Errors of the admin API that have a remedy. Each is wrapped with what Pulsar said.
var (
	// ErrRefused: the token is missing, expired or unknown, or its role may not do this.
	// Pulsar doesn't tell these apart by its status.
	ErrRefused = errors.New("the admin API refuses")
	// ErrUnreachable: nothing answered.
	ErrUnreachable = errors.New("the admin API does not answer")
)

// requestTime bounds one request to the admin API.
const requestTime = 30 * time.Second

// maxReason bounds how much of an answer is repeated in an error.
const maxReason = 300

// Options say where a cluster is and who asks.
type Options struct {
	URL string // of the admin API; of several hosts, as hosts.Split takes them
	// Token returns the bearer token of the next request, or "" for none. It is asked
	// each time, so that a token that was renewed is used.
	Token     func() (string, error)
	Transport http.RoundTripper // nil: [http.DefaultTransport]
}

// Client implements [topics.Admin]. It is safe for concurrent use.
type Client struct{ rest *rest.Client }

// New makes a client. It connects to nothing yet.
func New(o Options) (*Client, error) {
	transport := o.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	base, whichever, err := hosts.New(o.URL, transport)
	if err != nil {
		return nil, fmt.Errorf("admin API of Pulsar: %w", err)
	}
	scheme, _, _ := strings.Cut(base, "://")
	return &Client{&rest.Client{
		ServiceURL: base, VersionInfo: "deed",
		HTTPClient: &http.Client{
			Timeout:   requestTime,
			Transport: &bearer{next: whichever, token: o.Token},
			// A broker that doesn't own the topic redirects to the one that does. Go leaves
			// the token out when the host changes, and the bearer adds it again: that is
			// meant for hosts of the cluster alone, which Pulsar names itself.
			CheckRedirect: sameScheme(scheme),
		},
	}}, nil
}

func sameScheme(scheme string) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		const most = 5
		switch {
		case r.URL.Scheme != scheme:
			return fmt.Errorf("redirected from %s to %s", scheme, r.URL.Scheme)
		case len(via) >= most:
			return errors.New("redirected too often")
		default:
			return nil
		}
	}
}

// bearer adds the token to each request.
type bearer struct {
	next  http.RoundTripper
	token func() (string, error)
}

// RoundTrip sends the request with the token of this moment.
func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token == nil {
		return b.next.RoundTrip(r)
	}
	token, err := b.token()
	if err != nil {
		return nil, &tokenError{err}
	}
	if token == "" {
		return b.next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(r)
}

// tokenError is why there was no token to ask with.
type tokenError struct{ err error }

// Error is the cause.
func (e *tokenError) Error() string { return "get the token: " + e.err.Error() }

// Unwrap is the cause.
func (e *tokenError) Unwrap() error { return e.err }

// get decodes the answer into v, and reports whether there is one.
func (c *Client) get(ctx context.Context, path string, v any) (bool, error) {
	body, err := c.rest.GetBodyWithContext(ctx, root+path, v)
	if statusOf(err) == http.StatusNotFound {
		return false, nil
	}
	return len(body) > 0, explain("get "+path, err)
}

func (c *Client) put(ctx context.Context, path string, body any) error {
	return explain("put "+path, c.rest.PutWithContext(ctx, root+path, body))
}

func (c *Client) post(ctx context.Context, path string, body any, query map[string]string) error {
	return explain("post "+path, c.rest.PostWithQueryParamsWithContext(ctx, root+path, body, query))
}

func (c *Client) remove(ctx context.Context, path string, query map[string]string) error {
	return explain("delete "+path, c.rest.DeleteWithQueryParamsWithContext(ctx, root+path, query))
}

const root = "/admin/v2/"

func statusOf(err error) int {
	if answer, ok := errors.AsType[rest.Error](err); ok {
		return answer.Code
	}
	return 0
}

// explain wraps an error with what was asked, and the sentinel that it amounts to.
func explain(what string, err error) error {
	if err == nil {
		return nil
	}
	answer, answered := errors.AsType[rest.Error](err)
	token, tokenless := errors.AsType[*tokenError](err)
	switch {
	case tokenless:
		return fmt.Errorf("%s: %w", what, token)
	case !answered && errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, err)
	case !answered:
		return fmt.Errorf("%s: %w: %w", what, ErrUnreachable, err)
	case answer.Code == http.StatusUnauthorized || answer.Code == http.StatusForbidden:
		return fmt.Errorf("%s: %w: %s", what, ErrRefused, reason(answer))
	default:
		return fmt.Errorf("%s: %w", what, &statusError{answer.Code, reason(answer)})
	}
}

// statusError is an answer that is no success.
type statusError struct {
	code   int
	reason string
}

// Error is the status and what Pulsar said.
func (e *statusError) Error() string { return fmt.Sprintf("%d: %s", e.code, e.reason) }

// answered reports whether err is an answer with one of the codes.
func answered(err error, codes ...int) bool {
	answer, ok := errors.AsType[*statusError](err)
	return ok && slices.Contains(codes, answer.code)
}

// reason is one line of what Pulsar said; some of its answers are pages of HTML.
func reason(e rest.Error) string {
	text := e.Reason
	if _, title, ok := strings.Cut(text, "<title>"); ok {
		text, _, _ = strings.Cut(title, "</title>")
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxReason {
		text = text[:maxReason] + "…"
	}
	return text
}
