package tools

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/tools/credentials"
)

// Status is how one upstream fares.
type Status struct {
	Upstream    string
	Domain      string
	State       State     // whether calls are sent to it
	Err         error     // nil when it is healthy and its tools are those that it listed
	Since       time.Time // when it became well, or ceased to be
	Restarts    int       // how often it has stopped and been run again
	Stopped     error     // why it stopped last; nil if it never did
	StoppedAt   time.Time
	Tools       int      // known, quarantined ones included
	Quarantined int      // of those
	Notes       []string // about definitions that could not become tools
}

// Status says how each upstream fares, by name.
func (r *Registry) Status() []Status {
	counts := map[string]*Status{}
	for _, t := range r.Tools() {
		s := counts[t.Upstream]
		if s == nil {
			s = &Status{}
			counts[t.Upstream] = s
		}
		s.Tools++
		if t.Finding != "" {
			s.Quarantined++
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Status, 0, len(r.entries))
	for name, e := range r.entries {
		e.observe()
		s := Status{
			Upstream: name, Domain: e.domain, Err: e.trouble(), State: e.breaker.state(), Since: e.since,
			Restarts: e.restarts, Stopped: e.stopErr, StoppedAt: e.stopAt, Notes: slices.Clone(e.notes),
		}
		if c := counts[name]; c != nil {
			s.Tools, s.Quarantined = c.Tools, c.Quarantined
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Upstream, b.Upstream) })
	return all
}

// trouble is why the upstream is not ready. The caller holds the registry's mu.
func (e *entry) trouble() error {
	switch {
	case e.runErr != nil:
		return e.runErr
	case e.upstream.Health() != nil:
		return e.upstream.Health()
	case e.listErr != nil:
		return e.listErr
	case !e.listed:
		return errNotListed
	case e.breaker.state() == StateTripped:
		return errTripped
	default:
		return nil
	}
}

// observe keeps when the upstream became well, or ceased to be. The caller holds the registry's mu.
func (e *entry) observe() {
	trouble := e.trouble()
	well := trouble == nil
	if well == e.well && !e.since.IsZero() {
		return
	}
	at := time.Now()
	if turned := e.breaker.turnedAt(); !turned.IsZero() && !turned.Before(e.since) && (well || errors.Is(trouble, errTripped)) {
		at = turned // nobody looked when it did
	}
	e.well, e.since = well, at
}

// WaitReady waits until every upstream is ready, but not for a person to consent to the use of
// one. When ctx ends first, the error names those that are not, and wraps the cause of ctx's end.
func (r *Registry) WaitReady(ctx context.Context) error {
	for {
		r.mu.Lock()
		pulse := r.pulse
		r.mu.Unlock()
		var waiting []string
		for _, s := range r.Status() {
			if s.Err != nil && !errors.As(s.Err, new(*credentials.ConsentError)) {
				waiting = append(waiting, fmt.Sprintf("%s (%v)", s.Upstream, s.Err))
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		select {
		case <-pulse:
		case <-ctx.Done():
			return fmt.Errorf("wait for upstreams: %s: %w", strings.Join(waiting, ", "), context.Cause(ctx))
		}
	}
}
