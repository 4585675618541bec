package console

import (
	"context"
	"net/http"
	"time"

	"github.com/deedbroker/deed/agents/login"
)

const (
	providerAge  = 10 * time.Minute // after which an issuer's endpoints are looked up again
	providerRest = 5 * time.Second  // after a failure, before the issuer is asked again
	providerWait = 10 * time.Second
)

// provider remembers where an issuer's endpoints are, so that logins do not each ask.
type provider struct {
	issuer string
	client *http.Client
	turn   chan struct{} // capacity 1: whoever holds it may touch what follows

	known *login.Provider
	err   error
	at    time.Time // of the last answer or failure
}

func newProvider(issuer string, client *http.Client) *provider {
	return &provider{issuer: issuer, client: client, turn: make(chan struct{}, 1)}
}

// get gives the issuer's endpoints. While the issuer is away it goes on with those
// that it knows.
func (p *provider) get(ctx context.Context) (*login.Provider, error) {
	ctx, cancel := context.WithTimeout(ctx, providerWait)
	defer cancel()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	age := time.Since(p.at)
	switch {
	case !p.at.IsZero() && p.err == nil && age < providerAge, p.err != nil && age < providerRest:
	default:
		found, err := login.Discover(ctx, p.client, p.issuer)
		if err == nil {
			p.known = found
		} else if ctx.Err() != nil && p.known == nil {
			return nil, err // the browser left: that says nothing of the issuer
		}
		p.err, p.at = err, time.Now()
	}
	if p.known != nil {
		return p.known, nil
	}
	return nil, p.err
}
