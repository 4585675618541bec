// Package hosts finds a service at any of several hosts, as Pulsar writes them:
// https://one.example:8443,two.example:8443.
package hosts

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// Split returns the URL of each host.
func Split(text string) ([]*url.URL, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || (scheme != "http" && scheme != "https") {
		return nil, fmt.Errorf("%q is not http(s)://host:port[,host:port…]", text)
	}
	var all []*url.URL
	for host := range strings.SplitSeq(strings.TrimSuffix(rest, "/"), ",") {
		u, err := url.Parse(scheme + "://" + host)
		if err != nil || u.Hostname() == "" {
			return nil, fmt.Errorf("%q is not http(s)://host:port[,host:port…]", text)
		}
		all = append(all, u)
	}
	return all, nil
}

// Transport sends what is meant for the first host to whichever answers. Where it is
// redirected to, it goes.
type Transport struct {
	all  []*url.URL
	next http.RoundTripper
	last atomic.Int64 // index of the one that answered last
}

// New tells by which URL a service is to be called, and what reaches it.
func New(text string, next http.RoundTripper) (base string, _ *Transport, _ error) {
	all, err := Split(text)
	if err != nil {
		return "", nil, err
	}
	return strings.TrimSuffix(all[0].String(), "/"), &Transport{all: all, next: next}, nil
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(t.all) == 1 || r.URL.Host != t.all[0].Host || r.Body != nil && r.GetBody == nil {
		return t.next.RoundTrip(r)
	}
	var errs []error
	first := t.last.Load()
	for i := range int64(len(t.all)) {
		n := (first + i) % int64(len(t.all))
		to, err := aim(r, t.all[n].Host)
		if err != nil {
			return nil, err
		}
		answer, err := t.next.RoundTrip(to)
		if err == nil || r.Context().Err() != nil {
			t.last.Store(n)
			return answer, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// aim is the request, to another host.
func aim(r *http.Request, host string) (*http.Request, error) {
	to := r.Clone(r.Context())
	to.URL.Host, to.Host = host, host
	if r.GetBody == nil {
		return to, nil
	}
	body, err := r.GetBody()
	to.Body = body
	return to, err
}
