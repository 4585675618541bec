package topics

import (
	"context"
	"errors"
	"fmt"
)

// Admin is a cluster.
type Admin interface {
	// Observe returns the state of a tenant, with everything in the namespaces of
	// domains; of others it tells that they are there.
	Observe(ctx context.Context, tenant string, domains []string) (State, error)
	// Do makes one step. It succeeds where the step has been made already.
	Do(ctx context.Context, s Step) error
}

// Why a plan is not applied, or not in whole.
var (
	// ErrRefused: it has something that no step may change.
	ErrRefused = errors.New("the plan cannot be applied")
	// ErrErases: it has steps after which Pulsar deletes messages, and nobody agreed to that.
	ErrErases = errors.New("the plan lets Pulsar delete messages")
)

// Look compares a cluster with what it should be.
func Look(ctx context.Context, a Admin, want State) (Plan, State, error) {
	have, err := a.Observe(ctx, want.Tenant, sorted(want.Namespaces))
	if err != nil {
		return Plan{}, State{}, fmt.Errorf("look at tenant %s: %w", want.Tenant, err)
	}
	return Diff(want, have), have, nil
}

// Apply makes the steps of a plan, one after another, and reports each that is done. One
// that fails ends it; what was done stays, and the next plan goes on from there.
func Apply(ctx context.Context, a Admin, p Plan, mayErase bool, done func(Step)) error {
	if len(p.Refused) > 0 {
		return fmt.Errorf("%w: %s %s", ErrRefused, p.Refused[0].Object, p.Refused[0].Text)
	}
	for _, s := range p.Steps {
		if s.Erases != "" && !mayErase {
			return fmt.Errorf("%w: %v", ErrErases, s)
		}
	}
	for _, s := range p.Steps {
		if err := a.Do(ctx, s); err != nil {
			return fmt.Errorf("%v: %w", s, err)
		}
		done(s)
	}
	return nil
}
