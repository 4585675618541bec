package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/server"
)

func newKeyCommand(env *environment) *cobra.Command {
	return family("key", "Show and rotate the key that seals the log",
		`The key that signs the log's checkpoints, and what took its place. A rotation is on record,
and signed by the key that it replaces: whoever trusts an earlier key ("deed verify --key",
the console, a pack of evidence, a witness) follows from it to the one in force, and every
proof stays. A key that no rotation introduced is a finding. Nothing restarts. The old key's
file is gone afterwards. With log.key_age in deed.yaml a broker does it by itself.

Brokers that share a log on Pulsar all need the next key before it is in force: "deed key
stage" makes it beside the key, as FILE.next; put that beside the key of each, then rotate.
A broker that has not got it then stops, and says so.`,
		newKeyShow(env), newKeyRotate(env), newKeyStage(env))
}

func newKeyShow(env *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "show", Short: "Show the key in force, and the rotations that led to it",
		Example: `  deed key show --as bob
  deed key show --json | jq -r .key`,
		Args: cobra.NoArgs,
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		a, err := env.api()
		if err != nil {
			return err
		}
		keys, err := a.Keys(cmd.Context())
		if err != nil {
			return err
		}
		return env.printKeys("in force", keys)
	}
	return c
}

func newKeyRotate(env *environment) *cobra.Command {
	var reason string
	var yes bool
	c := &cobra.Command{
		Use:   "rotate --reason REASON",
		Short: "Give the key that seals the log its successor",
		Long: `Give the key that seals the log its successor. Only people can, whom policy permits the
action "rotate" on Domain::"deed".`,
		Example: `  deed key rotate --reason "yearly" --as bob
  deed key rotate --reason "the backup was stolen" --yes`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if strings.TrimSpace(reason) == "" {
			return withHint(usage("a rotation needs a reason"), `say it by --reason "…": it is what the record will say`)
		}
		a, err := env.api()
		if err != nil {
			return err
		}
		before, err := a.Keys(cmd.Context())
		if err != nil {
			return err
		}
		if err := env.consentToRotate(cmd.Context(), before.Key, yes); err != nil {
			return err
		}
		keys, err := a.RotateKey(cmd.Context(), httpapi.NewKeyRotation{Reason: reason})
		if err != nil {
			return err
		}
		return env.printKeys("rotated: in force is", keys)
	}
	return c
}

func (e *environment) consentToRotate(ctx context.Context, key string, yes bool) error {
	if yes {
		return nil
	}
	if !e.interactive {
		return withHint(usage("there is no terminal to confirm at"), "give --yes")
	}
	e.say("The key %s is replaced, for good. Rotate it? [y/N] ", plain(key))
	answer, err := e.readLine(ctx)
	if err != nil {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was rotated")
	}
	return nil
}

func (e *environment) printKeys(verb string, k httpapi.Keys) error {
	if e.json {
		return e.printJSON(k)
	}
	e.printf("%s %s\n", verb, plain(k.Key))
	for _, r := range k.Rotations {
		e.printf("  %s gave its place to %s\n", plain(r.Old), plain(r.New))
	}
	return nil
}

func newKeyStage(env *environment) *cobra.Command {
	var path, file string
	c := &cobra.Command{
		Use:   "stage",
		Short: "Make the next key beside the one in force, to be put beside that of each broker",
		Example: `  deed key stage -c deed.yaml
  deed key stage --file /run/secrets/seal.key`,
		Args: cobra.NoArgs,
	}
	configFlag(c, &path)
	c.Flags().StringVar(&file, "file", "", "the `file` of the key in force (default: the one that deed.yaml names)")
	c.RunE = func(*cobra.Command, []string) error {
		cfg, err := loadConfig(path)
		if err != nil {
			return err
		}
		file = firstOf(file, server.SealKeyFile(cfg))
		if _, err := seal.LoadKey(file); err != nil {
			return withHint(err, "name the file of the key in force by --file")
		}
		next, err := seal.Stage(file, cfg.Tenant)
		if err != nil {
			return fmt.Errorf("make the next key: %w", err)
		}
		staged := file + seal.NextSuffix
		if env.json {
			return env.printJSON(map[string]string{"file": staged, "key": next.String()})
		}
		env.printf("%s\nis in %s, and in force once every broker has it beside its key, and you `deed key rotate`\n", plain(next.String()), plain(staged))
		return nil
	}
	return c
}
