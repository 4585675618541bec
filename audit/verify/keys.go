package verify

import (
	"context"
	"slices"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

const controlLog = audit.OwnDomain + "/" + audit.TopicControl

// keys are those that the control log names, in the order in which they were in force.
type keys struct {
	chain   []seal.Verifier
	trusted int // the first of the chain that the reviewer gave; -1 if none
}

func (k *keys) position(v seal.Verifier) int {
	return slices.IndexFunc(k.chain, func(have seal.Verifier) bool { return have.String() == v.String() })
}

// readControl reads the keys, the sources that started and the policies in force from the control log.
func (v *verifier) readControl(ctx context.Context) error {
	err := v.each(ctx, controlLog, func(r audit.Record) {
		e, err := r.Event()
		if err != nil {
			return // the pass over all records reports it
		}
		switch e.Type {
		case audit.ReplicaStarted:
			v.started(r, e)
		case audit.KeyRotated:
			v.rotated(r, e)
		case audit.GrantMade, audit.GrantUsed, audit.GrantEnded:
			v.grant(r, e)
		case audit.StatementKeyAnnounced:
			v.announced(r, e)
		case audit.PayloadsErased, audit.LegalHoldPlaced, audit.LegalHoldLifted:
			v.erasure(r, e)
		case audit.RecordsRemoved:
			v.removed(r, e)
		case audit.LogMoved:
			v.moved(r, e)
		case audit.PolicyActivated:
			if a, err := audit.DataOf[audit.Activation](e); err == nil {
				v.policies[a.PolicySet] = true
			}
		default:
		}
	})
	v.trust()
	return err
}

func (v *verifier) started(r audit.Record, e audit.Event) {
	v.sources[e.Source] = true
	s, err := audit.DataOf[audit.Started](e)
	if err != nil {
		v.find(Finding{Rule: Unparsable, Where: r.Position, Found: err.Error()})
		return
	}
	key, err := seal.ParseVerifier(s.Key)
	switch {
	case err != nil:
		v.find(Finding{Rule: BadRotation, Where: r.Position, Expected: "a verifier key", Found: err.Error()})
	case len(v.keys.chain) == 0:
		v.keys.chain = append(v.keys.chain, key)
	case v.keys.position(key) < 0:
		v.find(Finding{
			Rule: BadRotation, Where: r.Position, Expected: "the key in force, " + v.keys.chain[len(v.keys.chain)-1].String(),
			Found: key.String() + ", which no rotation introduced",
		})
	}
}

func (v *verifier) rotated(r audit.Record, e audit.Event) {
	rotation, err := audit.DataOf[audit.Rotation](e)
	if err != nil {
		v.find(Finding{Rule: Unparsable, Where: r.Position, Found: err.Error()})
		return
	}
	if len(v.keys.chain) == 0 {
		first, err := seal.ParseVerifier(rotation.Old)
		if err != nil {
			v.find(Finding{Rule: BadRotation, Where: r.Position, Expected: "a verifier key", Found: err.Error()})
			return
		}
		v.keys.chain = append(v.keys.chain, first)
	}
	if n := len(v.keys.chain); n > 1 && rotation.Old == v.keys.chain[n-2].String() && rotation.New == v.keys.chain[n-1].String() {
		return // two replicas said the same
	}
	next, err := seal.OpenRotation(rotation, v.keys.chain[len(v.keys.chain)-1])
	if err != nil {
		v.find(Finding{Rule: BadRotation, Where: r.Position, Expected: "a rotation signed by the key in force", Found: err.Error()})
		return
	}
	v.keys.chain = append(v.keys.chain, next)
}

// trust decides on which key of the chain the reviewer's trust rests.
func (v *verifier) trust() {
	v.keys.trusted = -1
	for _, given := range v.options.Keys {
		at := v.keys.position(given)
		if at >= 0 && (v.keys.trusted < 0 || at < v.keys.trusted) {
			v.keys.trusted = at
		}
	}
	switch {
	case len(v.options.Keys) == 0:
		v.keys.trusted = 0
		if len(v.keys.chain) > 0 {
			v.note("no key was given from outside: checkpoints were checked with the key that the log itself names, which proves only that the log agrees with itself")
		}
	case v.keys.trusted < 0 && len(v.keys.chain) == 0: // a log that names none
		v.keys.chain, v.keys.trusted = slices.Clone(v.options.Keys), 0
	case v.keys.trusted < 0:
		v.find(Finding{
			Rule: UnknownKey, Where: audit.Position{Log: audit.OwnDomain + "/" + audit.TopicControl},
			Expected: v.options.Keys[0].String(), Found: v.keys.chain[0].String(),
		})
	}
}

// each reads a log record by record.
func (v *verifier) each(ctx context.Context, log string, visit func(audit.Record)) error {
	for i := v.log(log).first; i < v.sizes[log]; i++ {
		r, err := v.source.Record(ctx, audit.Position{Log: log, Index: i})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			continue // the pass over all records reports it
		}
		visit(r)
	}
	return nil
}
