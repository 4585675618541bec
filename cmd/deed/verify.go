package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker/config"
)

func newVerifyCommand(env *environment) *cobra.Command {
	var keys, kept, witnesses []string
	var options verify.Options
	var topics topicsSource
	var archives archivesSource
	var retention config.Duration
	c := &cobra.Command{
		Use:   "verify [DIR|FILE]",
		Short: "Prove that a history is complete and untouched",
		Long: `Check a history offline: every record against the signed checkpoints, every call
against the protocol, every payload against its commitment, and every decision by what
policies count (@recent) against the log that it was counted from. It is a data directory (the
demo's if left out; its broker may be running), an archive, an evidence pack that deed
export wrote, or events that it exported whole, one a line. With --pulsar it is the topics of a tenant, from
which everything is computed again.

What retention has removed of a data directory is no finding where that is on record. With
--archive the archives that were made of it are read as well: each must prove itself, and
all of them and what is left must be one history. Of a log that goes on from another, as
deed migrate makes it, they are the archives of that one.

Give the broker's public key by --key. Without it, the key that the log itself names is
used: that finds accidents, but not somebody who rewrote everything and signed anew.

The signature of each call's statement of who makes it is checked too, which can take as
much as all else about its records: --sample-statements 20 checks that of one call in
twenty, and --skip-statements of none. What the checkpoints prove does not depend on them.

The exit code is 0 if nothing was found, 1 if something was, and 2 if there is no history
to check.`,
		Example: `  deed verify
  deed verify /var/lib/deed --key 'deed/acme+1f8b2c3d+AZ…'
  deed verify /mnt/copy-of-deed --key checkpoints.pub
  deed verify /var/lib/deed --archive /mnt/archive --key 'deed/acme+1f8b2c3d+AZ…'
  deed verify evidence.zip --key 'deed/acme+1f8b2c3d+AZ…'
  deed verify --pulsar pulsar+ssl://pulsar:6651 --tenant acme --token-file auditor.jwt --key 'deed/acme+1f8b2c3d+AZ…'
  deed verify /var/lib/deed --key 'deed/acme+1f8b2c3d+AZ…' --witness 'witness.example.org+7d3f0a11+BA…'
  deed verify --json | jq .findings`,
		Args: cobra.MaximumNArgs(1),
	}
	flags := c.Flags()
	flags.StringArrayVar(&keys, "key", nil, "a verifier `key` to trust, or the file that has it; may be repeated")
	flags.StringArrayVar(&kept, "checkpoint", nil, "a `file` with a signed checkpoint that was kept elsewhere; may be repeated")
	flags.StringArrayVar(&witnesses, "witness", nil, "the `key` of a witness that must have signed each log; may be repeated")
	flags.IntVar(&options.WitnessQuorum, "witness-quorum", 0, "how `many` of the witnesses must have (default: all)")
	flags.BoolVar(&options.Closed, "closed", false, "no broker is running: a call left open is a finding")
	flags.BoolVar(&options.SkipPayloads, "skip-payloads", false, "do not check arguments and results")
	flags.BoolVar(&options.SkipStatements, "skip-statements", false, "do not check the signed statements of who makes each call")
	flags.IntVar(&options.SampleStatements, "sample-statements", 0, "check the signature of one of them in so `many`, at random (default: all)")
	flags.BoolVar(&options.SelfApproval, "self-approval", false, "people may approve what is done in their own name, if policy lets them")
	topics.flags(c)
	archives.flags(c)
	flags.TextVar(&retention, "retention", config.Duration{}, "the `duration` for which records are kept, as \"7y\": a log of --pulsar may have none left that are older")
	flags.StringVar(&options.Tenant, "tenant", "", "the `tenant` that all records must be of")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		options.Retention = retention.Duration
		if options.SampleStatements < 0 || options.SampleStatements > 0 && options.SkipStatements {
			return usage("--sample-statements is a number of 1 or more, and not for --skip-statements")
		}
		if options.Keys, err = parseKeys(keys); err != nil {
			return err
		}
		if options.Witnesses, err = parseWitnesses(witnesses, options.WitnessQuorum); err != nil {
			return err
		}
		if options.Kept, err = readNotes(kept); err != nil {
			return err
		}
		source, err := env.historyOf(cmd.Context(), args, topics, options)
		if err != nil {
			return err
		}
		defer func() { _ = source.Close() }() // it was only read
		if len(archives.places) > 0 {
			return env.verifyJoined(cmd.Context(), source, archives, options)
		}
		return env.verify(cmd.Context(), source, options)
	}
	return c
}

// historyOf opens what is to be verified.
func (e *environment) historyOf(ctx context.Context, args []string, topics topicsSource, o verify.Options) (source, error) {
	switch {
	case topics.url == "":
		return e.openSource(ctx, args)
	case len(args) > 0:
		return source{}, usage("verify either %s or what is at --pulsar", args[0])
	default:
		return topics.open(ctx, o.Tenant, !o.SkipPayloads)
	}
}

func parseKeys(texts []string) ([]seal.Verifier, error) {
	var keys []seal.Verifier
	for _, text := range texts {
		if kept, err := readFile(text); err == nil {
			text = strings.TrimSpace(string(kept))
		}
		k, err := seal.ParseVerifier(text)
		if err != nil {
			return nil, withHint(usage("--key is not a verifier key: %w", err), "it looks like deed/acme+1f8b2c3d+AZ…, or is a file with such a key")
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func parseWitnesses(texts []string, quorum int) ([]seal.WitnessKey, error) {
	if quorum < 0 || quorum > len(texts) {
		return nil, usage("--witness-quorum asks for %d of %d witnesses", quorum, len(texts))
	}
	var keys []seal.WitnessKey
	for _, text := range texts {
		k, err := seal.ParseWitnessKey(text)
		if err != nil {
			return nil, withHint(usage("--witness is not the key of a witness: %w", err), "it looks like witness.example.org+1f8b2c3d+BA…; deed witness prints its own")
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func readNotes(paths []string) ([]string, error) {
	var notes []string
	for _, path := range paths {
		note, err := readFile(path)
		if err != nil {
			return nil, usage("read checkpoint: %w", err)
		}
		notes = append(notes, string(note))
	}
	return notes, nil
}

// source is a history that was opened to be read.
type source struct {
	verify.Source
	io.Closer
	path string
}

// unwrap gives what the history can do beyond being a [verify.Source].
func (s source) unwrap() verify.Source { return s.Source }

// openSource opens the data directory or file that args name, or the demo's data.
func (e *environment) openSource(ctx context.Context, args []string) (source, error) {
	var path string
	if len(args) == 1 {
		path = args[0]
	} else {
		var err error
		if path, err = e.demoDir(); err != nil {
			return source{}, err
		}
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return openFile(ctx, path)
	}
	if isArchive(path) {
		return openArchive(ctx, archive.Dir(path), path)
	}
	dir, err := logDir(path)
	if err != nil {
		return source{}, err
	}
	reader, err := embedded.OpenReadOnly(ctx, dir)
	if err != nil {
		return source{}, err
	}
	return source{reader, reader, dir}, nil
}

// openFile opens an evidence pack, or events one a line.
func openFile(ctx context.Context, path string) (source, error) {
	evidence, err := pack.Open(path)
	if err == nil {
		return source{evidence, evidence, path}, nil
	}
	if !errors.Is(err, zip.ErrFormat) {
		return source{}, err
	}
	lines, err := pack.OpenLines(ctx, path)
	if err != nil {
		return source{}, withHint(err, "it is neither an evidence pack nor events that were exported whole, one a line")
	}
	return source{lines, lines, path}, nil
}

// logDir is where the log of a data directory is.
func logDir(data string) (string, error) {
	for _, dir := range []string{data, filepath.Join(data, "log")} {
		if _, err := os.Stat(filepath.Join(dir, embedded.FileName)); err == nil {
			return dir, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", usage("look for a log: %w", err)
		}
	}
	return "", withHint(usage("there is no log in %s", data), "name the data directory of a broker, `data` in its deed.yaml, or an evidence pack; `deed demo` makes a history")
}

func (e *environment) verify(ctx context.Context, from source, options verify.Options) error {
	done := e.showProgress(&options)
	report, err := verify.Verify(ctx, from.unwrap(), options)
	if err == nil && !options.SkipPayloads { // policies are payloads
		err = recount(ctx, from.unwrap(), report)
	}
	done()
	if err != nil {
		return err
	}
	return e.conclude(from.path, report)
}

// showProgress tells a terminal how far a verification is, until it is done.
func (e *environment) showProgress(options *verify.Options) (done func()) {
	shown := false
	if e.interactive && !e.json {
		options.Progress = func(done, total int64) {
			shown = true
			e.say("\rchecked %d of %d records", done, total)
		}
	}
	return func() {
		if shown {
			e.say("\r%*s\r", 60, "")
		}
	}
}

// conclude prints a report, and makes of it how the command ends.
func (e *environment) conclude(path string, report *verify.Report) error {
	if e.json {
		if err := e.printJSON(report); err != nil {
			return err
		}
	} else {
		e.printReport(path, report)
	}
	if !report.OK() {
		return silent(exitFailed)
	}
	return nil
}

func (e *environment) printReport(path string, r *verify.Report) {
	for _, f := range r.Findings {
		e.printf("finding: %s\n", plain(f.String()))
	}
	if r.Omitted > 0 {
		e.printf("and %d findings more\n", r.Omitted)
	}
	t := newTable(e.stdout, "LOG", "RECORDS", "SEALED", "CHECKPOINTS", "LAST CHECKPOINT")
	for _, l := range r.Logs {
		t.row(plain(l.Log), fmt.Sprint(l.Size), fmt.Sprint(l.Sealed), fmt.Sprint(l.Checkpoints), when(l.LastCheckpoint, time.Now()))
	}
	t.flush()
	e.printf("%d records, %d calls (%d open), %d payloads (%d erased%s), %d checkpoints in %s\n",
		r.Records, r.Calls, r.OpenCalls, r.Payloads, r.Erased, lost(r.Lost), r.Checkpoints, r.Duration.Round(time.Millisecond))
	for _, k := range r.Keys {
		e.printf("signed by %s\n", plain(k.String()))
	}
	for _, l := range r.Logs {
		if l.Witnessed > 0 {
			e.printf("%s: witnessed up to record %d, at %s\n", plain(l.Log), l.Witnessed-1, l.LastWitnessed.Format(time.RFC3339))
		}
	}
	for _, n := range r.Notes {
		e.printf("note: %s\n", plain(n))
	}
	if r.OK() {
		e.printf("verified: the history in %s is complete and untouched\n", plain(path))
		return
	}
	e.printf("NOT verified: %d findings in %s\n", int64(len(r.Findings))+r.Omitted, plain(path))
}

// lost tells of payloads whose writers died before they were stored.
func lost(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d lost with brokers that died", n)
}
