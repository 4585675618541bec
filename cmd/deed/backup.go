package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit/backup"
)

func newBackupCommand(env *environment) *cobra.Command {
	var to string
	var keys []string
	var private bool
	c := &cobra.Command{
		Use:   "backup [DIR] --to (DIR | FILE.tar.zst)",
		Short: "Copy a broker's log while it runs",
		Long: `Copy the log in a data directory (the demo's if left out) as it is at one moment, while the
broker runs, and verify the whole history in the copy before saying so. The copy is a
directory that "deed verify" and "deed history" of a broker can read as it is, or one
compressed file. A backup that is cut off leaves a name that ends in .partial.

The key that signs checkpoints is in it only with --keys; without it, keep keys/ elsewhere:
a broker on a restored log needs the same one. Configuration and policies are files of
yours, and not in it. What erasures took out of the log later is still in older backups:
erase these too.`,
		Example: `  deed backup /var/lib/deed --to /mnt/backup/deed-$(date +%F)
  deed backup /var/lib/deed --to deed.tar.zst --keys --key 'deed/acme+1f8b2c3d+AZ…'`,
		Args: cobra.MaximumNArgs(1),
	}
	c.Flags().StringVar(&to, "to", "", "the `directory` to make, or a file whose name ends in .tar.zst")
	c.Flags().BoolVar(&private, "keys", false, "copy the key that signs checkpoints too, readable by you alone")
	c.Flags().StringArrayVar(&keys, "key", nil, "a verifier `key` to trust (default: the one beside the log); may be repeated")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if to == "" {
			return usage("say where the backup goes, by --to")
		}
		trust, err := parseKeys(keys)
		if err != nil {
			return err
		}
		data, log, err := env.dataOf(args)
		if err != nil {
			return err
		}
		made, err := backup.Make(cmd.Context(), backup.Options{Log: log, Keys: data, To: to, Private: private, Trust: trust})
		if err != nil {
			return err
		}
		return env.printBackup("backed up to", to, made)
	}
	return c
}

// dataOf is a data directory, the demo's if none is named, and where its log is.
func (e *environment) dataOf(args []string) (data, log string, err error) {
	if len(args) == 1 {
		data = args[0]
	} else if data, err = e.demoDir(); err != nil {
		return "", "", err
	}
	log, err = logDir(data)
	return data, log, err
}

func newRestoreCommand(env *environment) *cobra.Command {
	var to string
	var keys []string
	c := &cobra.Command{
		Use:   "restore (DIR | FILE.tar.zst) --to DATA",
		Short: "Put a backup back",
		Long: `Put a backup into a data directory that has no log yet, for a broker to go on from. The
history is verified first; with findings nothing is put there. What was recorded after the
backup was made is not in it: whoever has kept later checkpoints will see that.`,
		Example: `  deed restore /mnt/backup/deed-2026-11-27 --to /var/lib/deed
  deed restore deed.tar.zst --to /var/lib/deed --key 'deed/acme+1f8b2c3d+AZ…'`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&to, "to", "", "the data `directory`")
	c.Flags().StringArrayVar(&keys, "key", nil, "a verifier `key` to trust (default: the one in the backup); may be repeated")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if to == "" {
			return usage("say where the backup goes, by --to")
		}
		trust, err := parseKeys(keys)
		if err != nil {
			return err
		}
		made, err := backup.Restore(cmd.Context(), args[0], to, trust)
		if errors.Is(err, backup.ErrFindings) {
			env.printReport(args[0], made.Report)
			return withHint(fmt.Errorf("nothing was restored: %w", err), "the backup is not what was sealed")
		}
		if err != nil {
			return err
		}
		if err := env.printBackup("restored to", to, made); err != nil {
			return err
		}
		if !made.Manifest.Keys {
			env.say("the backup has no private key: put keys/checkpoints.key of the broker that was into %s before you start one there\n", plain(to))
		}
		return nil
	}
	return c
}

// printBackup tells of a copy; one in which something was found is no success.
func (e *environment) printBackup(verb, path string, made backup.Made) error {
	if e.json {
		if err := e.printJSON(map[string]any{"path": path, "backup": made.Manifest, "report": made.Report}); err != nil {
			return err
		}
	} else {
		logs := make([]string, 0, len(made.Manifest.Logs))
		for log, size := range made.Manifest.Logs {
			logs = append(logs, fmt.Sprintf("%s %d", log, size))
		}
		slices.Sort(logs)
		for _, f := range made.Report.Findings {
			e.printf("finding: %s\n", plain(f.String()))
		}
		e.printf("%s %s: %d records, %d calls, verified: %s\n", verb, plain(path), made.Report.Records, made.Report.Calls, plain(strings.Join(logs, ", ")))
	}
	if !made.Report.OK() {
		e.say("the history in it does NOT verify: %d findings; it is a copy of what was there\n", int64(len(made.Report.Findings))+made.Report.Omitted)
		return silent(exitFailed)
	}
	return nil
}
