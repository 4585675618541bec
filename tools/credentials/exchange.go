package credentials

import (
	"container/list"
	"context"
	"errors"
	"net/url"
	"sync"
	"time"
)

// maxExchanged bounds the callers whose exchanged tokens are kept.
const maxExchanged = 10_000

// exchange gets a token for each caller, at the upstream's audience (RFC 8693).
type exchange struct {
	client   ClientConfig
	ref      string
	own      Source // of the broker itself
	fallback bool   // own is also for calls whose caller is gone

	mu    sync.Mutex
	by    map[string]*list.Element // guarded by mu; of *exchanged, by the digest of the caller's token
	order *list.List               // guarded by mu; the last used in front
}

type exchanged struct {
	digest string
	*cached
}

// Exchange turns each caller's token into one for the upstream. The broker's own requests
// are made with the client's own credentials. So are, with fallback, calls whose caller is
// gone when they run, after a hold; without it these fail with [ErrNoCaller].
func Exchange(c ClientConfig, fallback bool) (Source, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	own, err := ClientCredentials(c)
	if err != nil {
		return nil, err
	}
	return &exchange{client: c, ref: c.source("exchange"), own: own, fallback: fallback, by: map[string]*list.Element{}, order: list.New()}, nil
}

// Get implements [Source].
func (x *exchange) Get(ctx context.Context, s Subject) (Credential, error) {
	switch {
	case s.Gone && !x.fallback:
		return Credential{}, &Error{x.ref, ErrNoCaller}
	case s.Token == "":
		return x.own.Get(ctx, s)
	}
	return x.of(s).get(context.WithValue(ctx, subjectKey{}, s))
}

// Refused implements [Source].
func (x *exchange) Refused(s Subject, c Credential) {
	if s.Token == "" {
		x.own.Refused(s, c)
		return
	}
	x.of(s).refused(c.Value)
}

type subjectKey struct{}

// of is what is kept for a caller.
func (x *exchange) of(s Subject) *cached {
	digest := s.digest()
	x.mu.Lock()
	defer x.mu.Unlock()
	if e, ok := x.by[digest]; ok {
		x.order.MoveToFront(e)
		return e.Value.(*exchanged).cached
	}
	one := &exchanged{digest: digest, cached: newCached(x.ref, x.fetch)}
	x.by[digest] = x.order.PushFront(one)
	for x.order.Len() > maxExchanged {
		old := x.order.Remove(x.order.Back()).(*exchanged)
		delete(x.by, old.digest)
	}
	return one.cached
}

// fetch exchanges the token of the caller in ctx, which is kept no longer than that.
func (x *exchange) fetch(ctx context.Context) (fetched, error) {
	s, _ := ctx.Value(subjectKey{}).(Subject)
	got, err := x.client.request(ctx, x.ref, url.Values{
		"grant_type": {grantExchange}, "subject_token": {s.Token.Reveal()}, "subject_token_type": {typeAccess}, "requested_token_type": {typeAccess},
	})
	if err != nil {
		return fetched{}, err
	}
	if got.Value == s.Token {
		return fetched{}, errors.New("the authorization server gave the caller's own token back, which never travels upstream")
	}
	if expires := expiryOf(s.Token.Reveal()); !expires.IsZero() && expires.Before(got.Expires) {
		got.Expires = expires // it does not outlive what it came from
	}
	if !time.Now().Before(got.Expires) {
		return fetched{}, errors.New("the caller's token has expired")
	}
	return got, nil
}
