package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/archive/place"
	"github.com/deedbroker/deed/audit/archive/s3"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

func newArchiveCommand(env *environment) *cobra.Command {
	return family("archive", "Keep old records in files or an object store, provable by themselves",
		`An archive has the sealed records of a period, byte for byte, with the checkpoints, keys and
policies that prove them: files compressed by Zstandard, in a directory or below a prefix of
a bucket. It needs nothing of the broker that wrote it. Arguments and results are not in
it, so that erasing one never has to look there.

An object store is named s3://bucket/prefix. It is AWS, or what --endpoint says; the key to
it is in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws/credentials.`,
		newArchiveCreate(env), newArchiveVerify(env))
}

// placeFlags say how an object store is reached.
type placeFlags struct{ endpoint, region string }

func (p *placeFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.endpoint, "endpoint", "", "the object store's `URL` (default $AWS_ENDPOINT_URL, else AWS)")
	c.Flags().StringVar(&p.region, "region", "", "the bucket's `region` (default $AWS_REGION)")
}

// store is where a place keeps archives: a directory, or s3://bucket/prefix.
func (p *placeFlags) store(e *environment, at string) (archive.Store, error) {
	store, err := place.Open(at, s3.Options{Endpoint: firstOf(p.endpoint, e.getenv("AWS_ENDPOINT_URL")), Region: firstOf(p.region, e.getenv("AWS_REGION"))})
	if err != nil {
		return nil, usage("%w", err)
	}
	return store, nil
}

func newArchiveCreate(env *environment) *cobra.Command {
	var at placeFlags
	var before, older, since, to string
	var keys, domains []string
	c := &cobra.Command{
		Use:   "create [DIR] (--before TIME | --older-than AGE) --to (DIR | s3://BUCKET/PREFIX)",
		Short: "Copy the sealed records before a time into an archive",
		Long: `Copy the sealed records before a time out of a data directory (the demo's if left out) into
an archive; its broker may be running. What was written is read back and verified before
this says that it is there. A log begins with the opening of the first call that was open
at --since, so that no call is cut at its beginning; calls that are still open at --before
are told.`,
		Example: `  deed archive create /var/lib/deed --older-than 90d --to /mnt/archive/2026-q3
  deed archive create /var/lib/deed --since 2026-07-01 --before 2026-10-01 --to s3://acme-deed/2026-q3 --key 'deed/acme+1f8b2c3d+AZ…'`,
		Args: cobra.MaximumNArgs(1),
	}
	at.flags(c)
	c.Flags().StringVar(&before, "before", "", "records before this `time`")
	c.Flags().StringVar(&older, "older-than", "", "records of this `age` or more, such as 90d")
	c.Flags().StringVar(&since, "since", "", "records from this `time` on (default: from the beginning)")
	c.Flags().StringVar(&to, "to", "", "the `place`, which has no archive yet")
	c.Flags().StringArrayVar(&domains, "domain", nil, "only records of this `domain`; may be repeated")
	c.Flags().StringArrayVar(&keys, "key", nil, "a verifier `key` to trust (default: the one beside the log); may be repeated")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if to == "" || (before == "") == (older == "") {
			return usage("say what to archive by one of --before and --older-than, and where by --to")
		}
		o := pack.Options{Domains: domains, Made: time.Now()}
		var err error
		if o.Until, err = parseTime(firstOf(before, older), o.Made); err == nil && since != "" {
			o.Since, err = parseTime(since, o.Made)
		}
		if err != nil {
			return usage("%w", err)
		}
		store, err := at.store(env, to)
		if err != nil {
			return err
		}
		return env.archive(cmd.Context(), args, store, to, o, keys)
	}
	return c
}

func (e *environment) archive(ctx context.Context, args []string, store archive.Store, to string, o pack.Options, keys []string) (err error) {
	trust, err := parseKeys(keys)
	if err != nil {
		return err
	}
	from, err := e.openSource(ctx, args)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it was only read
	history, ok := from.unwrap().(pack.History)
	if !ok {
		return usage("an archive is made of a data directory, not of %s", plain(from.path))
	}
	if len(trust) == 0 {
		if trust, err = keyBeside(from.path); err != nil {
			return err
		}
	}
	m, report, err := archive.Create(ctx, store, history, o, verify.Options{Keys: trust})
	if errors.Is(err, archive.ErrThere) {
		return withHint(fmt.Errorf("%s: %w", plain(to), archive.ErrThere), "give each archive a place of its own")
	}
	if err != nil {
		return err
	}
	if e.json {
		if err := e.printJSON(map[string]any{"place": to, "manifest": m, "report": report}); err != nil {
			return err
		}
	} else {
		e.printReport(to, report)
	}
	if !report.OK() {
		return silent(exitFailed)
	}
	return nil
}

// keyBeside is the verifier key that a broker leaves in its data directory; none if
// there is none.
func keyBeside(dir string) ([]seal.Verifier, error) {
	for _, path := range []string{filepath.Join(dir, "keys", "checkpoints.pub"), filepath.Join(dir, "..", "keys", "checkpoints.pub")} {
		text, err := readFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return parseKeys([]string{strings.TrimSpace(string(text))})
	}
	return nil, nil
}

func newArchiveVerify(env *environment) *cobra.Command {
	var at placeFlags
	var keys, kept []string
	var options verify.Options
	c := &cobra.Command{
		Use:   "verify (DIR | s3://BUCKET/PREFIX)",
		Short: "Prove that an archive is complete and untouched",
		Long: `Read a whole archive and check it as "deed verify" does: every record against the signed
checkpoints, every call against the protocol. The exit codes are the same.`,
		Example: `  deed archive verify /mnt/archive/2026-q3 --key 'deed/acme+1f8b2c3d+AZ…'
  deed archive verify s3://acme-deed/2026-q3 --key 'deed/acme+1f8b2c3d+AZ…'`,
		Args: cobra.ExactArgs(1),
	}
	at.flags(c)
	c.Flags().StringArrayVar(&keys, "key", nil, "a verifier `key` to trust; may be repeated")
	c.Flags().StringArrayVar(&kept, "checkpoint", nil, "a `file` with a signed checkpoint that was kept elsewhere; may be repeated")
	c.Flags().BoolVar(&options.SelfApproval, "self-approval", false, "people may approve what is done in their own name, if policy lets them")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if options.Keys, err = parseKeys(keys); err != nil {
			return err
		}
		if options.Kept, err = readNotes(kept); err != nil {
			return err
		}
		store, err := at.store(env, args[0])
		if err != nil {
			return err
		}
		from, err := openArchive(cmd.Context(), store, args[0])
		if err != nil {
			return err
		}
		defer func() { _ = from.Close() }() // it was only read
		return env.verify(cmd.Context(), from, options)
	}
	return c
}

func isArchive(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "manifest.json"))
	return err == nil
}

func openArchive(ctx context.Context, store archive.Store, place string) (source, error) {
	p, err := openPack(ctx, store, place)
	if err != nil {
		return source{}, err
	}
	return source{p, p, place}, nil
}

func openPack(ctx context.Context, store archive.Store, place string) (*pack.Pack, error) {
	p, err := archive.Open(ctx, store)
	if errors.Is(err, os.ErrNotExist) {
		return nil, withHint(usage("there is no archive at %s", plain(place)), "name the place that `deed archive create --to` was given; one that was cut off is none")
	}
	return p, err
}
