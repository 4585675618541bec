package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/topics"
)

func newTopicsPurgeCommand(env *environment) *cobra.Command {
	v := &topicsVerb{env: env}
	var yes bool
	c := &cobra.Command{
		Use: "purge [DOMAIN...]", Short: "Make Pulsar forget the keys of payloads that were erased",
		Long: `Make Pulsar forget the keys of payloads that were erased, of all domains or of those that
are named. On Pulsar each argument and result is encrypted under a key of its own, and
erasing it ("deed erase", or an end of its retention) publishes the keys again without that
one. The messages that had it are dropped by whoever administers the tenant: the brokers, if
their role does, or else this verb. Nothing else is lost, no proof changes, and running it
again is harmless. Brokers may run meanwhile.

The admin API of log.pulsar.admin is asked with the token of --admin-token-file, else of
DEED_PULSAR_ADMIN_TOKEN, else the brokers' own.`,
		Example: `  deed topics purge -c deed.yaml --admin-token-file admin.token
  deed topics purge payments -c deed.yaml --admin-token-file admin.token --yes --json`,
	}
	c.RunE = func(cmd *cobra.Command, args []string) error { return v.purge(cmd.Context(), args, yes) }
	v.flags(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (v *topicsVerb) purge(ctx context.Context, domains []string, yes bool) error {
	cfg, client, err := v.open()
	if err != nil {
		return err
	}
	known := slices.Sorted(maps.Keys(cfg.Domains))
	if len(domains) == 0 {
		domains = known
	}
	for _, d := range domains {
		if !slices.Contains(known, d) {
			return withHint(usage("%s has no domain %q", plain(v.path), d), "its domains are "+strings.Join(known, ", "))
		}
	}
	if err := v.consentToPurge(ctx, cfg.Tenant, domains, yes); err != nil {
		return err
	}
	for _, d := range domains {
		if err := client.Purge(ctx, topics.Object{Tenant: cfg.Tenant, Domain: d, Topic: pulsar.TopicKeys}); err != nil {
			return adminError(err)
		}
		if !v.env.json {
			v.env.printf("purged: %s/%s\n", plain(cfg.Tenant), plain(d))
		}
	}
	if v.env.json {
		return v.env.printJSON(map[string]any{"tenant": cfg.Tenant, "purged": domains})
	}
	return nil
}

func (v *topicsVerb) consentToPurge(ctx context.Context, tenant string, domains []string, yes bool) error {
	if yes {
		return nil
	}
	if !v.env.interactive {
		return withHint(usage("there is no terminal to confirm at"), "give --yes")
	}
	v.env.say("The keys of payloads that were erased go for good, of tenant %s: %s. Purge them? [y/N] ", plain(tenant), plain(strings.Join(domains, ", ")))
	answer, err := v.env.readLine(ctx)
	if err != nil {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was purged")
	}
	return nil
}
