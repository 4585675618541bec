// Package web is how upstreams over HTTP are reached: with bounded connections and time, and nowhere
// but at the host that was configured.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	dialTimeout    = 10 * time.Second
	maxConnections = 128 // to one server
	maxRedirects   = 3
)

// Faults of configured URLs and of servers.
var (
	ErrURL        = errors.New("the URL must be http or https, with a host and without user information")
	ErrRedirected = errors.New("the server redirects to another host")
)

// Parse reads the URL of a server.
func Parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		return nil, ErrURL
	}
	return u, nil
}

// Transport is a transport with the usual limits.
func Transport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          maxConnections,
		MaxIdleConnsPerHost:   maxConnections,
		ForceAttemptHTTP2:     true,
	}
}

// SameHost allows a few redirects within the scheme and host of u: anywhere else the
// credentials in the headers are not meant for.
func SameHost(u *url.URL) func(*http.Request, []*http.Request) error {
	return func(next *http.Request, before []*http.Request) error {
		if !Within(u, next.URL) {
			return ErrRedirected
		}
		if len(before) >= maxRedirects {
			return fmt.Errorf("%w: more than %d times", ErrRedirected, maxRedirects)
		}
		return nil
	}
}

// Within reports whether other is at the scheme and host of u.
func Within(u, other *url.URL) bool { return other.Scheme == u.Scheme && other.Host == u.Host }

// Traced is a context in which an HTTP request notes whether it got a connection: until then
// nothing of it can have been sent.
func Traced(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := &atomic.Bool{}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }}), sent
}

// Plain is err without a URL, which may hold a secret.
func Plain(err error) error {
	if at, ok := errors.AsType[*url.Error](err); ok {
		return at.Err
	}
	return err
}
