package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/deedbroker/deed/audit"
)

// begun is what a new log has already.
type begun struct {
	ids     map[string]bool // of events of control
	started bool            // this migration said so
	key     string          // in force; empty if none was named
	moved   bool            // all is on record
}

// goOn begins the new log with what the old one leaves to it.
func (m *mover) goOn(ctx context.Context, logs []audit.MovedLog) (err error) {
	m.Tell("putting it on record in " + m.To)
	log, err := m.New(ctx)
	if err != nil {
		return err
	}
	if c, ok := log.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	there, err := m.begun(ctx, log, logs)
	if err != nil || there.moved {
		return err
	}
	own := m.Key.Verifier().String()
	if there.key != "" && there.key != own {
		return fmt.Errorf("%w: %s is sealed by %s, the old log by %s: give its brokers the key of the old one, keys/checkpoints.key", ErrNotReady, m.To, there.key, own)
	}
	for _, r := range m.survey.rotations { // before a key is named
		if err := m.carry(ctx, log, r, there.ids); err != nil {
			return err
		}
	}
	if !there.started {
		if err := m.append(ctx, log, audit.ReplicaStarted, audit.Started{Version: m.Version, Key: own}); err != nil {
			return err
		}
	}
	for _, r := range m.survey.carried() {
		if err := m.carry(ctx, log, r, there.ids); err != nil {
			return err
		}
	}
	return m.append(ctx, log, audit.LogMoved, audit.Move{Logs: logs, Archive: m.Place})
}

func (m *mover) begun(ctx context.Context, log audit.Log, logs []audit.MovedLog) (begun, error) {
	there := begun{ids: map[string]bool{}}
	for r, err := range log.Read(ctx, "") {
		if err != nil {
			return there, err
		}
		e, err := audit.PeekEvent(r.Stored)
		if err != nil || e.Topic != audit.TopicControl {
			continue // for the verifier to tell
		}
		there.ids[e.ID] = true
		switch e.Type {
		case audit.ReplicaStarted:
			data, err := audit.DataOf[audit.Started](e)
			if err != nil {
				return there, err
			}
			there.started = there.started || e.Source == m.Source
			if there.key == "" {
				there.key = data.Key
			}
		case audit.KeyRotated:
			data, err := audit.DataOf[audit.Rotation](e)
			if err != nil {
				return there, err
			}
			there.key = data.New
		case audit.LogMoved:
			data, err := audit.DataOf[audit.Move](e)
			if err != nil {
				return there, err
			}
			there.moved = there.moved || slices.Equal(data.Logs, logs)
		default:
		}
	}
	return there, nil
}

// carry writes an event that is still in force, under its id, unless that was done before.
func (m *mover) carry(ctx context.Context, log audit.Log, r audit.Record, there map[string]bool) error {
	e, err := r.Event()
	if err != nil || there[e.ID] {
		return err
	}
	e.Source = m.Source
	if e.Type == audit.ToolPinned {
		p, err := m.Old.Payload(ctx, r.Position, audit.PayloadDefinition)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Position, err)
		}
		e.Payloads = []audit.Payload{p}
	}
	if _, err := log.Append(ctx, e); err != nil {
		return fmt.Errorf("%s: %w", r.Position, err)
	}
	return nil
}
