package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/migrate"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/server"
)

// migrator is the replica as which a migration writes.
const migrator = "migrate"

func newMigrateCommand(env *environment) *cobra.Command {
	var path, to string
	var dry bool
	var at placeFlags
	c := &cobra.Command{
		Use:   "migrate [DIR] -c deed.yaml --archive (DIR | s3://BUCKET/PREFIX)",
		Short: "Move a broker's history from its embedded log to Pulsar",
		Long: `Move the history in a data directory (the demo's if left out) to the Pulsar that deed.yaml
names, whose topics "deed topics apply" has made. No broker may run on it, and no call may
be open or wait for somebody to find out what became of it.

Records are not written again: the old log is verified, ends with an event that says so, is
sealed and becomes an archive. The new log begins with the old one's last signed
checkpoints, under the same key, and with what is still in force: revocations, legal holds
and reviewed tools. "deed verify --pulsar … --archive …" proves both parts. Killed anywhere,
it is run again.

Not carried over: grants, counters that policies look back at, and idempotency keys; they
begin anew. Arguments and results stay in the old data directory alone: nobody erases them
any more but you, with the directory. Give every replica the old key, keys/checkpoints.key.`,
		Example: `  deed migrate /var/lib/deed -c deed.yaml --archive /mnt/archive/embedded --dry-run
  deed migrate /var/lib/deed -c deed.yaml --archive /mnt/archive/embedded
  deed verify --pulsar pulsar+ssl://pulsar:6651 --tenant acme --archive /mnt/archive/embedded --key 'deed/acme+1f8b2c3d+AZ…'`,
		Args: cobra.MaximumNArgs(1),
	}
	configFlag(c, &path)
	at.flags(c)
	c.Flags().StringVar(&to, "archive", "", "the `place` for the archive of the old log, which has none yet")
	c.Flags().BoolVar(&dry, "dry-run", false, "verify, say what would be done, and do nothing")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if to == "" {
			return usage("say by --archive where the records of the old log go")
		}
		cfg, err := loadConfig(path)
		if err != nil {
			return err
		}
		if cfg.Log.Pulsar == nil {
			return withHint(usage("%s has no log.pulsar to move to", plain(path)), "write log: { pulsar: { url: …, admin: … } } and run `deed topics apply`")
		}
		store, err := at.store(env, to)
		if err != nil {
			return err
		}
		return env.migrate(cmd.Context(), args, cfg, migrate.Options{Store: store, Place: to, DryRun: dry})
	}
	return c
}

func (e *environment) migrate(ctx context.Context, args []string, cfg *config.Config, o migrate.Options) (err error) {
	data, dir, err := e.dataOf(args)
	if err != nil {
		return err
	}
	if o.Key, err = seal.LoadKey(filepath.Join(data, server.KeyFile)); err != nil {
		return withHint(err, "the key that sealed the old log seals the new one too")
	}
	old, err := embedded.Open(ctx, dir, embedded.Options{})
	if errors.Is(err, audit.ErrLocked) {
		return withHint(err, "stop the broker that runs on it first")
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	o.Old, o.Tenant, o.Version, o.Source = old, cfg.Tenant, version(), "deed://"+cfg.Tenant+"/"+migrator
	o.To = fmt.Sprintf("tenant %s at %s", cfg.Tenant, cfg.Log.Pulsar.URL)
	o.Tell = func(step string) { e.say("%s\n", plain(step)) }
	o.New = func(ctx context.Context) (audit.Log, error) {
		l, err := pulsar.Open(ctx, server.PulsarOptions(cfg, migrator, slog.New(slog.DiscardHandler)))
		if err != nil {
			return nil, err // not a log that holds nil
		}
		return l, nil
	}
	moved, err := migrate.Run(ctx, o)
	if err != nil {
		return err
	}
	return e.printMigration(moved, filepath.Join(data, server.KeyFile))
}

func (e *environment) printMigration(m migrate.Result, key string) error {
	if e.json {
		return e.printJSON(m)
	}
	if m.DryRun {
		e.printf("would move %d records, %d calls to %s; archive them in %s, and carry over %d events that are in force\n",
			m.Records, m.Calls, plain(m.To), plain(m.Archive), m.Carried)
		return nil
	}
	for _, l := range m.Logs {
		e.printf("%s ended at %d records\n", plain(l.Log), l.Size)
	}
	e.printf("moved: %d events in force were carried over to %s; %d calls are archived in %s\n", m.Carried, plain(m.To), m.Calls, plain(m.Archive))
	e.printf("give every replica %s, and start them\n", plain(key))
	return nil
}
