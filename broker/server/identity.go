package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/denylist"
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

// viaIntrospection is the channel of what issuers say when they are asked about a token.
const viaIntrospection = "introspection"

// withdrawn has every replica refuse a token that its issuer does not want any more, and
// ends what is under way with it.
func (s *Server) withdrawn(ctx context.Context, id *agents.Identity) {
	err := s.broker.Signal(context.WithoutCancel(ctx), denylist.Entry{
		Kind: denylist.Token, Issuer: id.Issuer, Value: id.TokenDigest, Until: id.Expires.Add(untilSurelyOver),
		Reason: "its issuer says, when asked, that it is not in force",
	}, viaIntrospection)
	if err != nil {
		s.opt.Logger.LogAttrs(ctx, slog.LevelError, "token withdrawn by its issuer is refused here, and not yet elsewhere", slog.Any("error", err))
	}
}

// untilSurelyOver is how long after its end a token may be taken for good by a clock that differs.
const untilSurelyOver = 5 * time.Minute

// inForce asks the issuer behind an identity once more. Nothing is released before there
// is a verifier.
func (s *Server) inForce(ctx context.Context, id *agents.Identity) error {
	if s.verifier == nil {
		return errors.New("tokens cannot be verified yet")
	}
	return s.verifier.now.Load().InForce(ctx, id)
}
