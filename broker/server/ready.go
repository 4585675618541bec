package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/live"
)

// maxBehind is how far the history may lag before readiness says so.
const maxBehind = 30 * time.Second

// checks are what /readyz asks. An upstream that is down does not make the broker
// unready: the others are served, and calls of that one say so.
func (s *Server) checks() []httpapi.Check {
	return []httpapi.Check{
		{Name: "serving", Check: s.checkServing},
		{Name: "log", Check: func(context.Context) error { return s.log.Health() }},
		{Name: "history", Check: s.checkHistory},
		{Name: "issuers", Check: s.checkIssuers},
		{Name: "each issuer", Check: s.checkEachIssuer, Advisory: true},
		{Name: "sinks", Check: s.checkSinks, Advisory: true},
		{Name: "witnesses", Check: s.checkWitnesses, Advisory: true},
		{Name: "upstreams", Check: s.checkUpstreams, Advisory: true},
		{Name: "notifications", Check: s.checkNotify, Advisory: true},
		{Name: "shadow policies", Check: s.checkShadow, Advisory: true},
		{Name: "policies", Check: s.checkPolicies, Advisory: true},
	}
}

func (s *Server) checkServing(context.Context) error {
	if !s.serving.Load() {
		return errors.New("starting or stopping")
	}
	return nil
}

func (s *Server) checkHistory(ctx context.Context) error {
	lag, err := s.index.Behind(ctx)
	if err != nil {
		return err
	}
	if lag.Behind > maxBehind {
		return fmt.Errorf("the history index is %s and %d records behind the log", lag.Behind.Round(time.Second), lag.Records)
	}
	return nil
}

// status is how this replica is, for those who watch. A history that does not know how
// far it is behind says nothing of it.
func (s *Server) status(ctx context.Context) live.Status {
	st := live.Status{Replica: s.opt.Replica, LogAvailable: s.log.Health() == nil}
	if lag, err := s.index.Behind(ctx); err == nil {
		st.BehindRecords, st.BehindSeconds = max(lag.Records, 0), lag.Behind.Seconds()
	}
	return st
}

// checkIssuers fails when no issuer's tokens can be verified.
func (s *Server) checkIssuers(context.Context) error {
	var down []string
	health := s.verifier.now.Load().Health()
	for _, h := range health {
		if !h.Ready {
			down = append(down, h.Issuer+": "+h.Trouble)
		}
	}
	if len(health) > 0 && len(down) == len(health) {
		return errors.New("tokens of no issuer can be verified: " + strings.Join(down, "; "))
	}
	return nil
}

// checkEachIssuer tells of trouble with any issuer: its tokens may still be verified, by
// the keys that are known.
func (s *Server) checkEachIssuer(context.Context) error {
	var errs []error
	for _, h := range s.verifier.now.Load().Health() {
		if h.Trouble != "" {
			errs = append(errs, fmt.Errorf("%s: %s", h.Issuer, h.Trouble))
		}
	}
	return errors.Join(errs...)
}

func (s *Server) checkUpstreams(context.Context) error {
	var errs []error
	for _, u := range s.registry.Status() {
		if u.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", u.Upstream, u.Err))
		}
	}
	return errors.Join(errs...)
}

func (s *Server) checkPolicies(context.Context) error {
	if q := s.policies.Set().Quarantined(); len(q) > 0 {
		return fmt.Errorf("the policies do not fit these tools, which are quarantined: %s", strings.Join(q, ", "))
	}
	return nil
}
