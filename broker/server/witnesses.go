package server

import (
	"context"
	"fmt"
	"time"

	"github.com/deedbroker/deed/agents/reach"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/witness"
)

// maxUnwitnessed is how long witnesses may leave checkpoints unsigned before readiness
// warns of it.
const maxUnwitnessed = 5 * time.Minute

// openWitnesses makes what asks witnesses, if there are any. Each is reached at its own
// address and nowhere else.
func (s *Server) openWitnesses(context.Context) error {
	w := s.cfg.Witnesses
	if len(w.Servers) == 0 {
		return nil
	}
	var clients []*witness.Client
	for _, server := range w.Servers {
		key, err := seal.ParseWitnessKey(server.Key)
		if err != nil {
			return err
		}
		peer, err := reach.New(server.URL, nil, w.Wait.Duration, nil)
		if err != nil {
			return fmt.Errorf("witness %s: %w", server.URL, err)
		}
		clients = append(clients, &witness.Client{URL: server.URL, Key: key, HTTP: peer.Client()})
	}
	var err error
	s.witnesses, err = witness.NewRounds(witness.Config{
		Sealer: s.sealer, Trees: s.log, Witnesses: clients, Quorum: w.Quorum, Every: w.Every.Duration, Wait: w.Wait.Duration, Logger: s.opt.Logger,
		Rotations: func() []audit.Rotation { return s.broker.KeyRotations() },
	})
	return err
}

func (s *Server) checkWitnesses(context.Context) error {
	if s.witnesses == nil {
		return nil
	}
	if behind := s.witnesses.Behind(time.Now()); behind > maxUnwitnessed {
		return fmt.Errorf("too few witnesses have signed for %s", behind.Round(time.Second))
	}
	return nil
}
