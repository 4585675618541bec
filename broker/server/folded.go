package server

import (
	"context"
	"maps"
	"slices"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// folded is a call as the log says it is, by the places that the history knows, and
// these places.
func (s *Server) folded(ctx context.Context, id string) (*calls.Call, []audit.Position, error) {
	history, err := s.index.Call(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	var c calls.Call
	var places []audit.Position
	for _, entry := range history.Events {
		record, err := s.log.Record(ctx, entry.Position)
		if err != nil {
			return nil, nil, err
		}
		if e, err := record.Event(); err == nil { // else the verifier reports it
			_, _ = c.Apply(e, entry.Position) // as well as what does not fit the protocol
		}
		places = append(places, entry.Position)
	}
	return &c, places, nil
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
