package client

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/client/transport"
)

const (
	dialTimeout = 10 * time.Second
	maxAnswer   = 64 << 20 // bytes of one answer
)

var errTooLarge = errors.New("the answer is too large")

// standardClient waits for answers as long as its caller does: people may have to
// decide first.
func standardClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   64,
		ForceAttemptHTTP2:     true,
	}}
}

// authorized sends a token with each request, turns what is not an answer of the
// protocol into an *Error, and bounds answers.
type authorized struct {
	base  http.RoundTripper
	token TokenFunc
}

// RoundTrip implements [http.RoundTripper].
func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := a.token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as a RoundTripper must; nothing was sent
		}
		return nil, NoToken(err)
	}
	response, err := a.send(r, token)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusUnauthorized && (r.Body == nil || r.GetBody != nil) {
		if other, err := a.token(WithRefused(r.Context(), token)); err == nil && other != token {
			_ = response.Body.Close() // nothing in it matters
			if response, err = a.again(r, other); err != nil {
				return nil, err
			}
		}
	}
	if isProblem(r, response) {
		defer func() { _ = response.Body.Close() }() // read as far as it matters
		return nil, ReadProblem(response)
	}
	response.Body = &bounded{body: response.Body, left: maxAnswer}
	return response, nil
}

func (a *authorized) send(r *http.Request, token string) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return a.base.RoundTrip(r)
}

// again sends a request once more, of which nothing was done.
func (a *authorized) again(r *http.Request, token string) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		r.Body = body
	}
	return a.send(r, token)
}

// isProblem reports whether an answer is none of the protocol: JSON-RPC errors come as
// application/json, whatever their status, and to a request of a session 404 says that
// the session has ended.
func isProblem(r *http.Request, response *http.Response) bool {
	switch {
	case response.StatusCode < http.StatusMultipleChoices:
		return false
	case response.StatusCode == http.StatusNotFound && r.Header.Get(transport.HeaderKeySessionID) != "":
		return false
	default:
		return response.Header.Get("Content-Type") != "application/json"
	}
}

// bounded is a body that fails when there is more of it than expected.
type bounded struct {
	body io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, errTooLarge
	}
	return n, err
}

func (b *bounded) Close() error { return b.body.Close() }
