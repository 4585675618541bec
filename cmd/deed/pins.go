package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// pinnedTools are the tools of the configured upstreams as the log of the data directory
// remembers them; none if there is no log yet.
func pinnedTools(ctx context.Context, cfg *config.Config) ([]policy.Tool, error) {
	dir, err := logDir(cfg.Data)
	if err != nil {
		return nil, nil // nothing has been seen yet
	}
	reader, err := embedded.OpenReadOnly(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("read the tools that the log remembers: %w", err)
	}
	defer func() { _ = reader.Close() }() // it was only read
	sizes, err := reader.Sizes(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the tools that the log remembers: %w", err)
	}
	const control = audit.OwnDomain + "/" + audit.TopicControl
	pins := map[string]audit.Position{}
	for i := range sizes[control] {
		record, err := reader.Record(ctx, audit.Position{Log: control, Index: i})
		if err != nil {
			return nil, fmt.Errorf("read the tools that the log remembers: %w", err)
		}
		event, err := record.Event()
		if err != nil || event.Type != audit.ToolPinned {
			continue // what is wrong with the log is for verify to tell
		}
		if pin, err := audit.DataOf[audit.Pin](event); err == nil {
			pins[pin.Tool] = record.Position
		}
	}
	return readPins(ctx, cfg, reader, pins)
}

func readPins(ctx context.Context, cfg *config.Config, payloads audit.Payloads, pins map[string]audit.Position) ([]policy.Tool, error) {
	var known []policy.Tool
	for name, at := range pins {
		upstream, own, _ := strings.Cut(name, ".")
		configured, ok := cfg.Upstreams[upstream]
		if !ok {
			continue
		}
		payload, err := payloads.Payload(ctx, at, audit.PayloadDefinition)
		if errors.Is(err, audit.ErrErased) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read definition of %s: %w", name, err)
		}
		d, err := tools.ParseDefinition(payload.Body)
		if err != nil {
			return nil, fmt.Errorf("read definition of %s: %w", name, err)
		}
		known = append(known, policy.Tool{
			Upstream: upstream, Domain: configured.Domain, Name: own, InputSchema: d.InputSchema,
			Annotations: policy.Annotations{
				ReadOnly: d.Annotations.ReadOnly, Destructive: d.Annotations.Destructive,
				Idempotent: d.Annotations.Idempotent, OpenWorld: d.Annotations.OpenWorld,
			},
		})
	}
	slices.SortFunc(known, func(a, b policy.Tool) int { return strings.Compare(a.ID(), b.ID()) })
	return known, nil
}
