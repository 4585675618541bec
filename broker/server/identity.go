package server

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/oidc"
)

// swappable is the verifier in force: a reload puts another in its place while
// requests go on.
type swappable struct {
	now         atomic.Pointer[oidc.Verifier]
	next        chan *oidc.Verifier
	revocations agents.Revocations
}

func newSwappable(v *oidc.Verifier, revocations agents.Revocations) *swappable {
	s := &swappable{next: make(chan *oidc.Verifier), revocations: revocations}
	s.now.Store(v)
	return s
}

// Verify implements [agents.Verifier]: it also refuses those who have been revoked.
func (s *swappable) Verify(ctx context.Context, c agents.Credential) (*agents.Identity, error) {
	id, err := s.now.Load().Verify(ctx, c)
	if err != nil {
		return nil, err
	}
	if revoked := s.revocations.Denied(id); revoked != nil {
		return nil, revoked
	}
	return id, nil
}

// replace puts v in force once it knows its issuers' keys, or has tried for a while.
func (s *swappable) replace(ctx context.Context, v *oidc.Verifier) error {
	select {
	case s.next <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run keeps the verifier in force up to date until ctx is done.
func (s *swappable) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	start := func(v *oidc.Verifier) (end func()) {
		one, end := context.WithCancel(ctx)
		g.Go(func() error {
			if err := v.Run(one); err != nil {
				return fmt.Errorf("verify tokens: %w", err)
			}
			return nil
		})
		return end
	}
	end := start(s.now.Load())
	for {
		select {
		case <-ctx.Done():
			end()
			return g.Wait()
		case v := <-s.next:
			before := end
			end = start(v)
			ready, stop := context.WithTimeout(ctx, readyWait)
			_ = v.WaitReady(ready) // an issuer that is down answers for itself, in /readyz
			stop()
			s.now.Store(v)
			before()
		}
	}
}

// inForce asks the issuer behind an identity once more. Nothing is released before there
// is a verifier.
func (s *Server) inForce(ctx context.Context, id *agents.Identity) error {
	if s.verifier == nil {
		return errors.New("tokens cannot be verified yet")
	}
	return s.verifier.now.Load().InForce(ctx, id)
}
