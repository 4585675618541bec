package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

// The groups of verbs in the help.
const (
	groupServe  = "serve"
	groupCall   = "call"
	groupDecide = "decide"
	groupReview = "review"
	groupKeep   = "keep"
)

// run is the whole program: it returns the exit code.
func run(ctx context.Context, env *environment, args []string) int {
	root := newRoot(env) //nolint:contextcheck // verbs get it from ExecuteContext
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if _, ran := errors.AsType[*ranError](err); !ran { // cobra's own: flags, arguments, verbs
		err = withHint(usage("%w", err), "see `deed help`")
	}
	return env.report(err)
}

func newRoot(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "deed",
		Short: "An action broker for AI agents",
		Long: `Deed stands between AI agents and the tools that they call. Every call has
somebody answerable for it, is permitted by policy or by people, is written down
before it is done, and can be proved later.

Try it:  deed demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	flags := root.PersistentFlags()
	flags.StringVar(&env.url, "url", "", "the broker (default $DEED_URL, else "+defaultURL+")")
	flags.StringVar(&env.token, "token", "", "access token (default $DEED_TOKEN, else what deed login saved)")
	flags.StringVar(&env.as, "as", "", "sign in as this `user` at a demo on this machine: alice, bob or carol")
	flags.BoolVar(&env.json, "json", false, "print JSON")
	root.AddGroup(
		&cobra.Group{ID: groupServe, Title: "Serve:"},
		&cobra.Group{ID: groupCall, Title: "Call:"},
		&cobra.Group{ID: groupDecide, Title: "Decide:"},
		&cobra.Group{ID: groupReview, Title: "Review:"},
		&cobra.Group{ID: groupKeep, Title: "Keep:"},
	)
	add(root, groupServe, newDemoCommand(env), newServeCommand(env), newConfigCommand(env), newPolicyCommand(env), newTopicsCommand(env), newNotifyCommand(env), newDoctorCommand(env), newAdoptCommand(env), newUpstreamsCommand(env))
	add(root, groupCall, newToolsCommand(env), newCallCommand(env), newStdioCommand(env), newRunCommand(env), newTokenCommand(env), newLoginCommand(env), newLogoutCommand(env))
	add(root, groupServe, newWitnessCommand(env))
	add(root, groupDecide, newPendingCommand(env), newApproveCommand(env), newDenyCommand(env), newGrantCommand(env), newGrantsCommand(env), newCancelCommand(env), newReconcileCommand(env), newRevokeCommand(env))
	add(root, groupReview, newHistoryCommand(env), newShowCommand(env), newReplayCommand(env), newAgentsCommand(env), newVerifyCommand(env), newExportCommand(env))
	add(root, groupKeep, newEraseCommand(env), newLegalHoldCommand(env), newArchiveCommand(env), newBackupCommand(env), newRestoreCommand(env), newMigrateCommand(env), newKeyCommand(env))
	root.AddCommand(newVersionCommand(env))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	markRuns(root)
	return root
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

// ranError marks the errors of verbs that ran, as against those of parsing the command.
type ranError struct{ err error }

// Error is the verb's error.
func (e *ranError) Error() string { return e.err.Error() }

// Unwrap is the verb's error.
func (e *ranError) Unwrap() error { return e.err }

func markRuns(c *cobra.Command) {
	for _, sub := range c.Commands() {
		markRuns(sub)
	}
	if c.RunE == nil {
		return
	}
	inner := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if err := inner(cmd, args); err != nil {
			return &ranError{err}
		}
		return nil
	}
}

// family is a verb that only holds others.
func family(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.ArbitraryArgs}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return withHint(usage("unknown command %q for %q", args[0], cmd.CommandPath()), "see `"+cmd.CommandPath()+" --help`")
		}
		return cmd.Help()
	}
	c.AddCommand(commands...)
	return c
}

func newVersionCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if env.json {
				return env.printJSON(map[string]string{"version": version()})
			}
			env.printf("deed %s\n", version())
			return nil
		},
	}
}
