package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/export"
	"github.com/deedbroker/deed/audit/export/parquet"
	"github.com/deedbroker/deed/broker/evidence"
)

// The formats of deed export.
const (
	formatEvents   = "cloudevents"
	formatEvidence = "evidence"
	formatParquet  = "parquet"
)

func exportFormats() []string {
	return []string{formatEvents, "ocsf", "otel", "csv", formatParquet, "cef", formatEvidence}
}

// exportFlags are what deed export was asked for.
type exportFlags struct {
	format, log, data, since, until, output, framework string

	domains  []string
	payloads bool
}

func newExportCommand(env *environment) *cobra.Command {
	var f exportFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "Write out calls for other systems, or evidence for an auditor",
		Long: `Write what happened in a form that others read, from a data directory (--data; also an
evidence pack) or, as far as one may read it, through a broker:

  cloudevents  the events, byte for byte as they are stored, one JSON document a line
  ocsf         OCSF 1.9 API Activity, one JSON document a call
  otel         OTLP log records (JSON), one document a call
  csv          a table, a line a call
  parquet      the same for warehouses
  cef          Common Event Format, a line a call
  evidence     one file that proves the history anywhere, with a public key alone: records,
               proofs, checkpoints, keys, policies and, with --payloads, arguments and
               results. deed verify FILE checks it, and a script inside does. A broker makes it of
               the domains that one may read as a whole, and records that it did

--since and --until are about when events were written, or else when calls were opened.`,
		Example: `  deed export --format evidence --data /var/lib/deed --since 90d --payloads -o evidence.zip
  deed export --evidence soc2 --as carol --since 90d -o soc2.zip
  deed export --format ocsf --as carol --since 1d | jq .status_id
  deed export --format parquet --data /var/lib/deed -o calls.parquet
  deed export --data /var/lib/deed > events.ndjson && deed verify events.ndjson`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&f.format, "format", formatEvents, "`one` of "+strings.Join(exportFormats(), ", "))
	flags.StringVar(&f.data, "data", "", "read this data `directory` in place of a broker")
	flags.StringVar(&f.log, "log", "", "only this `log`, such as payments/calls")
	flags.StringVar(&f.since, "since", "", "only from this `time` on")
	flags.StringVar(&f.until, "until", "", "only before this `time`")
	flags.StringVarP(&f.output, "output", "o", "", "write to this `file`; - is the standard output, and the default but for binary formats")
	flags.StringVar(&f.framework, "evidence", "", "evidence with controls, figures, policies and access review for a `framework`: "+strings.Join(evidence.Frameworks(), ", "))
	flags.StringArrayVar(&f.domains, "domain", nil, "evidence of this `domain` only; may be repeated")
	flags.BoolVar(&f.payloads, "payloads", false, "evidence with arguments and results")
	c.RunE = func(cmd *cobra.Command, _ []string) error { return env.export(cmd.Context(), f) }
	return c
}

func (e *environment) export(ctx context.Context, f exportFlags) error {
	if f.framework != "" {
		if !slices.Contains(evidence.Frameworks(), f.framework) {
			return withHint(usage("there is no framework %s", plain(f.framework)), "there are "+strings.Join(evidence.Frameworks(), ", "))
		}
		f.format = formatEvidence
	}
	binary := f.format == formatEvidence || f.format == formatParquet
	switch {
	case !slices.Contains(exportFormats(), f.format):
		return withHint(usage("there is no format %s", plain(f.format)), "the formats are "+strings.Join(exportFormats(), ", "))
	case binary && f.output == "":
		return withHint(usage("%s is not for a terminal", f.format), "name a file by --output")
	case f.format == formatEvidence && f.log != "":
		return withHint(usage("evidence is of whole domains"), "name them by --domain")
	case f.format != formatEvidence && (len(f.domains) > 0 || f.payloads):
		return usage("--domain and --payloads are for evidence")
	}
	x := exporter{log: f.log, query: url.Values{}}
	now := time.Now()
	for name, text := range map[string]string{"since": f.since, "until": f.until} {
		if err := setTime(x.query, name, text, now); err != nil {
			return err
		}
	}
	out, done, err := e.output(f.output)
	if err != nil {
		return err
	}
	x.out = bufio.NewWriterSize(out, 64<<10)
	err = x.run(ctx, e, f)
	if err = errors.Join(err, x.out.Flush()); err != nil {
		return errors.Join(fmt.Errorf("export: %w", err), done(false))
	}
	return done(true)
}

// output opens the file to write to. What was written in part does not stay.
func (e *environment) output(path string) (io.Writer, func(ok bool) error, error) {
	if path == "" || path == "-" {
		return e.stdout, func(bool) error { return nil }, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // the user names it
	if err != nil {
		return nil, nil, usage("write export: %w", err)
	}
	return file, func(ok bool) error {
		err := file.Close()
		if !ok {
			err = errors.Join(err, os.Remove(path))
		}
		return err
	}, nil
}

// exporter writes what fits.
type exporter struct {
	log   string
	query url.Values // since and until, as in RFC 3339
	out   *bufio.Writer
}

func (x *exporter) run(ctx context.Context, e *environment, f exportFlags) error {
	if f.data == "" && f.format == formatEvidence {
		return x.evidenceFromBroker(ctx, e, f)
	}
	if f.data == "" {
		return x.fromBroker(ctx, e, f.format)
	}
	from, err := e.openSource(ctx, []string{f.data})
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it was only read
	since, until, err := x.bounds()
	if err != nil {
		return err
	}
	switch f.format {
	case formatEvents:
		return x.events(ctx, from, since, until)
	case formatEvidence:
		return x.evidence(ctx, e, from, f, since, until)
	default:
		return export.Calls(ctx, from, export.Options{Log: f.log, Since: since, Until: until}, x.form(f.format))
	}
}

// form is where entries go.
func (x *exporter) form(name string) export.Format {
	switch name {
	case "ocsf":
		return export.NewOCSF(x.out, version())
	case "otel":
		return export.NewOTLP(x.out, version())
	case "csv":
		return export.NewCSV(x.out)
	case "cef":
		return export.NewCEF(x.out, version())
	default:
		return parquet.New(x.out)
	}
}

// events writes stored events as they are.
func (x *exporter) events(ctx context.Context, from source, since, until time.Time) error {
	for record, err := range from.Read(ctx, "") {
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

// fromBroker exports the calls that one may read, the latest first.
func (x *exporter) fromBroker(ctx context.Context, e *environment, format string) error {
	a, err := e.api()
	if err != nil {
		return err
	}
	x.query.Set("export", format) // so that it is on record
	found, err := a.Calls(ctx, x.query, 0)
	if err != nil {
		return err
	}
	var to export.Format
	if format != formatEvents {
		to = x.form(format)
	}
	for _, summary := range found {
		call, err := a.Metadata(ctx, summary.CallID)
		if err != nil {
			return err
		}
		var records []audit.Record
		for _, event := range call.Events {
			p, err := audit.ParsePosition(event.Position)
			if err != nil {
				return err
			}
			if x.log == "" || p.Log == x.log {
				records = append(records, audit.Record{Position: p, Stored: json.RawMessage(event.Event)})
			}
		}
		if err := x.call(records, to); err != nil {
			return err
		}
	}
	if to == nil {
		return nil
	}
	return to.Close()
}

// call writes one call: its events, or its entry.
func (x *exporter) call(records []audit.Record, to export.Format) error {
	f := export.NewFolder()
	var entry *export.Entry
	for _, r := range records {
		if to == nil {
			if err := x.write(r.Stored); err != nil {
				return err
			}
			continue
		}
		if e := f.Fold(r); e != nil {
			entry = e
		}
	}
	for _, e := range f.Open() {
		entry = e
	}
	if entry == nil {
		return nil
	}
	return to.Call(entry)
}

// write writes an event on a line of its own. Stored events have no line breaks, as
// JSON written by encoding/json has none.
func (x *exporter) write(event []byte) error {
	if _, err := x.out.Write(append(slices.Clip(event), '\n')); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}
