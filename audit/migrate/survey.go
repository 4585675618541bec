package migrate

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// survey is what a log leaves behind.
type survey struct {
	open    map[string]bool // calls that nothing closes
	unknown map[string]bool // calls that a person has to look at
	inForce map[string]audit.Record
	pinned  map[string]string // event ids of the last definitions, by tool
	// rotations lead from the first key to the one in force: whoever trusts an earlier one is to
	// follow in the new log too.
	rotations []audit.Record
	keys      []seal.Verifier // that they led to
	ended     bool            // it says that it was moved
}

func look(ctx context.Context, log audit.Log, now time.Time) (*survey, error) {
	s := &survey{open: map[string]bool{}, unknown: map[string]bool{}, inForce: map[string]audit.Record{}, pinned: map[string]string{}}
	for r, err := range log.Read(ctx, "") {
		if err != nil {
			return nil, err
		}
		e, err := audit.PeekEvent(r.Stored)
		if err == nil {
			err = s.fold(r, e, now)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Position, err)
		}
	}
	return s, nil
}

func (s *survey) fold(r audit.Record, e audit.Event, now time.Time) error {
	switch {
	case e.Type == audit.CallIntent:
		s.open[e.Subject] = true
	case e.Type == audit.CallReconciled:
		delete(s.unknown, e.Subject)
	case e.Type == audit.CallUnknown && s.open[e.Subject]:
		delete(s.open, e.Subject)
		s.unknown[e.Subject] = true
	case e.Type.Closes():
		delete(s.open, e.Subject)
	case e.Topic == audit.TopicControl:
		return s.control(r, e, now)
	}
	return nil
}

func (s *survey) control(r audit.Record, e audit.Event, now time.Time) error {
	switch e.Type {
	case audit.CallerRevoked:
		data, err := audit.DataOf[audit.Revocation](e)
		if err == nil && (data.Until == nil || data.Until.After(now)) {
			s.inForce[e.ID] = r
		}
		return err
	case audit.RevocationLifted:
		data, err := audit.DataOf[audit.Lifting](e)
		delete(s.inForce, data.Revocation)
		return err
	case audit.KeyRotated:
		return s.rotated(r, e)
	case audit.LegalHoldPlaced:
		s.inForce[e.ID] = r
	case audit.LegalHoldLifted:
		data, err := audit.DataOf[audit.LegalHoldEnd](e)
		delete(s.inForce, data.Hold)
		return err
	case audit.ToolPinned:
		data, err := audit.DataOf[audit.Pin](e)
		delete(s.inForce, s.pinned[data.Tool])
		s.inForce[e.ID], s.pinned[data.Tool] = r, e.ID
		return err
	case audit.LogMoved:
		data, err := audit.DataOf[audit.Move](e)
		s.ended = data.To != ""
		return err
	default:
	}
	return nil
}

// rotated reads a rotation of a log that verifies.
func (s *survey) rotated(r audit.Record, e audit.Event) error {
	data, err := audit.DataOf[audit.Rotation](e)
	if err != nil {
		return err
	}
	if n := len(s.keys); n > 0 && s.keys[n-1].String() == data.New {
		return nil // two replicas said the same
	}
	for _, key := range []string{data.Old, data.New} {
		v, err := seal.ParseVerifier(key)
		if err != nil {
			return err
		}
		if n := len(s.keys); n == 0 || s.keys[n-1].String() != key {
			s.keys = append(s.keys, v)
		}
	}
	s.rotations = append(s.rotations, r)
	return nil
}

// carried are the events in force, in their order.
func (s *survey) carried() []audit.Record {
	return slices.SortedFunc(maps.Values(s.inForce), func(a, b audit.Record) int { return cmp.Compare(a.Position.Index, b.Position.Index) })
}
