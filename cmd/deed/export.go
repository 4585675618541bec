package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
)

func newExportCommand(env *environment) *cobra.Command {
	var format, log, dir, since, until string
	c := &cobra.Command{
		Use:   "export",
		Short: "Write out events for other systems",
		Long: `Write the stored events as CloudEvents 1.0, one JSON document a line, byte for byte as
they are stored. From a data directory (--data) these are all events, in the order of the
log; through a broker, the events of the calls that one may read, call by call,
the latest call first.`,
		Example: `  deed export --data /var/lib/deed --log payments/calls > payments.ndjson
  deed export --as carol --since 1d | jq -r .type`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&format, "format", "cloudevents", "cloudevents is the only one")
	flags.StringVar(&dir, "data", "", "read this data `directory` in place of a broker")
	flags.StringVar(&log, "log", "", "only this `log`, such as payments/calls")
	flags.StringVar(&since, "since", "", "only events, or through a broker calls, of this `time` or later")
	flags.StringVar(&until, "until", "", "only those before this `time`")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if format != "cloudevents" {
			return withHint(usage("there is no format %s", plain(format)), "the format is cloudevents")
		}
		query := url.Values{}
		now := time.Now()
		if err := setTime(query, "since", since, now); err != nil {
			return err
		}
		if err := setTime(query, "until", until, now); err != nil {
			return err
		}
		out := bufio.NewWriter(env.stdout)
		x := exporter{log: log, query: query, out: out}
		var err error
		if dir != "" {
			err = x.fromData(cmd.Context(), dir)
		} else {
			err = x.fromBroker(cmd.Context(), env)
		}
		if err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		return nil
	}
	return c
}

// exporter writes the events that fit.
type exporter struct {
	log   string
	query url.Values // since and until, as in RFC 3339
	out   io.Writer
}

func (x *exporter) fromData(ctx context.Context, data string) error {
	dir, err := logDir(data)
	if err != nil {
		return err
	}
	reader, err := embedded.OpenReadOnly(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }() // it was only read
	since, until, err := x.bounds()
	if err != nil {
		return err
	}
	for record, err := range reader.Read(ctx, "") {
		if err != nil {
			return err
		}
		if x.log != "" && record.Position.Log != x.log {
			continue
		}
		event, err := record.Event()
		if err != nil {
			return withHint(fmt.Errorf("%s: %w", record.Position, err), "`deed verify` tells what is wrong with the history")
		}
		if event.Time.Before(since) || (!until.IsZero() && !event.Time.Before(until)) {
			continue
		}
		if err := x.write(record.Stored); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) bounds() (since, until time.Time, err error) {
	for name, t := range map[string]*time.Time{"since": &since, "until": &until} {
		if text := x.query.Get(name); text != "" {
			if *t, err = time.Parse(time.RFC3339Nano, text); err != nil {
				return since, until, fmt.Errorf("read --%s: %w", name, err)
			}
		}
	}
	return since, until, nil
}

func (x *exporter) fromBroker(ctx context.Context, env *environment) error {
	a, err := env.api()
	if err != nil {
		return err
	}
	found, err := a.Calls(ctx, x.query, 0)
	if err != nil {
		return err
	}
	for _, summary := range found {
		call, err := a.Call(ctx, summary.CallID)
		if err != nil {
			return err
		}
		for _, event := range call.Events {
			if x.log != "" {
				if p, err := audit.ParsePosition(event.Position); err != nil || p.Log != x.log {
					continue
				}
			}
			if err := x.write(json.RawMessage(event.Event)); err != nil {
				return err
			}
		}
	}
	return nil
}

// write writes an event on a line of its own. Stored events have no line breaks, as
// JSON written by encoding/json has none.
func (x *exporter) write(event []byte) error {
	if _, err := x.out.Write(append(slices.Clip(event), '\n')); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}
