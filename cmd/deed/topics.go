package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit/pulsar/admin"
	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/readers"
	"github.com/deedbroker/deed/cmd/deed/tenant"
)

func newTopicsCommand(env *environment) *cobra.Command {
	return family("topics", "Bring a Pulsar cluster in line with deed.yaml", "",
		newTopicsPlanCommand(env), newTopicsApplyCommand(env), newTopicsCheckCommand(env), newTopicsPurgeCommand(env), newTopicsSchemaCommand(env))
}

const topicsLong = `From tenant, domains, readers and retentions deed.yaml says which namespaces and topics
there are, who may produce and consume, how long messages live, and what else the log
stands on. The admin API of log.pulsar.admin is asked with the token of
--admin-token-file, else of DEED_PULSAR_ADMIN_TOKEN, else the brokers' own: a role that
administers the tenant, or a superuser.`

// topicsVerb is what plan, apply and check have in common.
type topicsVerb struct {
	path, tokenFile string
	env             *environment
}

func (v *topicsVerb) flags(c *cobra.Command) {
	configFlag(c, &v.path)
	c.Flags().StringVar(&v.tokenFile, "admin-token-file", "", "a `file` with the token for the admin API, read at each request")
}

func newTopicsPlanCommand(env *environment) *cobra.Command {
	v := &topicsVerb{env: env}
	c := &cobra.Command{
		Use: "plan", Short: "Show what apply would change", Args: cobra.NoArgs,
		Long:    "Show what differs between deed.yaml and the cluster. Nothing is changed.\n\n" + topicsLong,
		Example: "  deed topics plan -c deed.yaml --admin-token-file admin.token",
		RunE: func(cmd *cobra.Command, _ []string) error {
			seen, err := v.look(cmd.Context())
			if err != nil {
				return err
			}
			return env.printTopics(seen)
		},
	}
	v.flags(c)
	return c
}

func newTopicsCheckCommand(env *environment) *cobra.Command {
	v := &topicsVerb{env: env}
	c := &cobra.Command{
		Use: "check", Short: "Report drift: exit code 0 if there is none, 1 if there is", Args: cobra.NoArgs,
		Long: `Compare the cluster with deed.yaml, and what Pulsar lets roles consume with what the
policies let them read. The exit code is 0 if all agree, 1 if something has drifted or
two of them disagree, and another if the cluster could not be looked at.

` + topicsLong,
		Example: "  deed topics check -c deed.yaml --json | jq '.steps, .disagreements'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			seen, err := v.look(cmd.Context())
			if err != nil {
				return err
			}
			if err := env.printTopics(seen); err != nil {
				return err
			}
			if seen.Drift() || len(seen.Disagreements) > 0 {
				return silent(exitFailed)
			}
			return nil
		},
	}
	v.flags(c)
	return c
}

func newTopicsApplyCommand(env *environment) *cobra.Command {
	v := &topicsVerb{env: env}
	var yes, erase bool
	c := &cobra.Command{
		Use: "apply", Short: "Make the cluster what deed.yaml says", Args: cobra.NoArgs,
		Long: `Show what differs, and change it once that is confirmed. It may be stopped half-way, and
goes on where it was when it is run again. Nothing is ever deleted but permissions; where a
shorter retention lets Pulsar delete messages, --allow-erasure has to say so.

` + topicsLong,
		Example: "  deed topics apply -c deed.yaml --admin-token-file admin.token --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes && !env.interactive {
				return withHint(usage("there is no terminal to confirm at"), "look at `deed topics plan`, then give --yes")
			}
			return v.apply(cmd.Context(), yes, erase)
		},
	}
	v.flags(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&erase, "allow-erasure", false, "also shorten retentions, after which Pulsar deletes what is older")
	return c
}

// topicsSeen is what `deed topics plan --json` and check print.
type topicsSeen struct {
	Tenant string `json:"tenant"`
	topics.Plan

	Disagreements []readers.Disagreement `json:"disagreements"`
}

// look compares cluster, configuration and policies.
func (v *topicsVerb) look(ctx context.Context) (*topicsSeen, error) {
	cfg, client, err := v.open()
	if err != nil {
		return nil, err
	}
	checked, err := checkPolicies(ctx, cfg, nil)
	if err != nil {
		return nil, err
	}
	if err := checked.err(); err != nil {
		v.env.printFindings(checked)
		return nil, err
	}
	spec, err := tenant.Spec(cfg)
	if err != nil {
		return nil, err
	}
	plan, state, err := topics.Look(ctx, client, topics.Desire(spec))
	if err != nil {
		return nil, adminError(err)
	}
	seen := &topicsSeen{Tenant: cfg.Tenant, Plan: plan, Disagreements: []readers.Disagreement{}}
	seen.Disagreements = append(seen.Disagreements, readers.OnPulsar(cfg, checked.set, consumers(cfg, state), time.Now())...)
	return seen, nil
}

// consumers are the roles that may consume each domain, the brokers' own left out.
func consumers(cfg *config.Config, state topics.State) map[string][]string {
	all := map[string][]string{}
	for domain := range state.Namespaces {
		all[domain] = slices.DeleteFunc(state.Consumers(domain), func(role string) bool { return role == cfg.Log.Pulsar.Role })
	}
	return all
}

// adminError says what helps against an error of the admin API.
func adminError(err error) error {
	switch {
	case errors.Is(err, admin.ErrRefused):
		return withHint(&exit{code: exitRefused, err: err}, "name a token of a role that administers the tenant by --admin-token-file or DEED_PULSAR_ADMIN_TOKEN; to make the tenant takes a superuser's")
	case errors.Is(err, admin.ErrUnreachable):
		return withHint(&exit{code: exitBusy, err: err}, "see that log.pulsar.admin is the URL of a broker's or proxy's web service, and that it runs")
	default:
		return err
	}
}

// apply makes the steps of a plan, and looks whether they were all.
func (v *topicsVerb) apply(ctx context.Context, yes, erase bool) error {
	cfg, client, err := v.open()
	if err != nil {
		return err
	}
	spec, err := tenant.Spec(cfg)
	if err != nil {
		return err
	}
	want := topics.Desire(spec)
	plan, _, err := topics.Look(ctx, client, want)
	if err != nil {
		return adminError(err)
	}
	if len(plan.Steps) > 0 && len(plan.Refused) == 0 && !yes {
		if err := v.consent(ctx, cfg.Tenant, plan); err != nil {
			return err
		}
	}
	done := []topics.Step{}
	err = topics.Apply(ctx, client, plan, erase, func(s topics.Step) {
		done = append(done, s)
		if !v.env.json {
			v.env.printf("%s\n", plain(s.String()))
		}
	})
	if err != nil {
		return applyError(err, len(done), len(plan.Steps))
	}
	left, _, err := topics.Look(ctx, client, want)
	if err != nil {
		return adminError(err)
	}
	if v.env.json {
		if err := v.env.printJSON(map[string]any{"tenant": cfg.Tenant, "done": done, "left": left}); err != nil {
			return err
		}
	} else {
		v.env.printf("%d steps made; tenant %s is as %s says\n", len(done), plain(cfg.Tenant), plain(v.path))
		v.env.printFindingsOf(left)
	}
	if len(left.Steps) > 0 {
		return fmt.Errorf("%d steps are left: somebody else changes the tenant; apply again", len(left.Steps))
	}
	return nil
}

func (v *topicsVerb) consent(ctx context.Context, name string, plan topics.Plan) error {
	if err := v.env.printTopics(&topicsSeen{Tenant: name, Plan: plan}); err != nil {
		return err
	}
	v.env.say("\nmake these %d changes? [y/N] ", len(plan.Steps))
	answer, err := v.env.readLine(ctx)
	if err != nil {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

func applyError(err error, done, steps int) error {
	switch {
	case errors.Is(err, topics.ErrRefused):
		return withHint(err, "nothing was changed; `deed topics plan` lists all of it")
	case errors.Is(err, topics.ErrErases):
		return withHint(err, "nothing was changed; give --allow-erasure if that is meant")
	default:
		return adminError(fmt.Errorf("after %d of %d steps: %w; apply again to go on", done, steps, err))
	}
}
