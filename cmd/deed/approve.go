package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/cmd/deed/api"
)

func newApproveCommand(env *environment) *cobra.Command {
	var digest, reason, arguments string
	var yes bool
	c := &cobra.Command{
		Use:   "approve CALL",
		Short: "Approve a held call",
		Long: `Approve a held call. The call is shown with its exact arguments, and approved once that
is confirmed. The approval is of these arguments only: their digest goes with it.

Scripts that have seen the call give its digest by --digest, and are refused if the
call is another one; --yes approves whatever the call is.

With --args it is approved with other arguments: policy is asked about these, somebody
else has to approve them too, and the agent is told.`,
		Example: `  deed approve 019ab2c4-… --as bob
  deed pending --json | jq -r '.items[0] | "\(.call_id) --digest \(.digest)"' | xargs deed approve
  deed approve 019ab2c4-… --args '{"payment":"pay-1002","amount":90}' --reason "the rest was used"`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&digest, "digest", "", "approve only if the call has this `digest`")
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().StringVar(&arguments, "args", "", "approve it with these arguments instead, a `JSON` object")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if arguments != "" && !json.Valid([]byte(arguments)) {
			return usage("--args is not JSON")
		}
		a, err := env.api()
		if err != nil {
			return err
		}
		if digest == "" {
			if digest, err = env.confirm(cmd.Context(), a, args[0], yes); err != nil {
				return err
			}
		}
		return env.vote(cmd.Context(), a, args[0], httpapi.Approval{
			Verdict: string(audit.Approve), Digest: digest, Reason: reason, Arguments: jsontext.Value(arguments),
		})
	}
	return c
}

// confirm shows a held call and asks. It returns the digest of what was shown.
func (e *environment) confirm(ctx context.Context, a *api.Client, id string, yes bool) (string, error) {
	if !yes && !e.interactive {
		return "", withHint(usage("there is no terminal to confirm at"), "give --digest with the digest of the call that you have seen, or --yes")
	}
	call, err := a.Call(ctx, id)
	if err != nil {
		return "", err
	}
	if call.State != "held" {
		return "", decidedAlready(call.CallSummary)
	}
	if yes {
		return call.Digest, nil
	}
	e.describe(call.HeldCall)
	if !call.MayVote && call.WhyNot != "" {
		refused := &exit{code: exitRefused, err: errors.New("you cannot approve this call: " + plain(call.WhyNot))}
		if call.StepUp != "" {
			refused.hint = stepUpHint(call.StepUp)
		}
		return "", refused
	}
	e.say("\napprove this call? [y/N] ")
	answer, err := e.readLine(ctx)
	if err != nil {
		return "", err
	}
	if answer := strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return "", withHint(errors.New("not approved: nothing was changed"), "`deed deny` refuses it")
	}
	return call.Digest, nil
}

// decidedAlready says what became of a call that is not held any more.
func decidedAlready(call httpapi.CallSummary) error {
	now := "running"
	if call.Outcome != "" {
		now = "closed as " + plain(call.Outcome)
	}
	if len(call.Votes) == 0 {
		return errors.New("the call is not held any more: it is " + now)
	}
	last := call.Votes[len(call.Votes)-1]
	return fmt.Errorf("already approved by %s %s ago, and %s", plain(last.By), time.Since(last.At).Round(time.Second), now)
}

// maxLine bounds an answer to a question.
const maxLine = 1 << 10

// readLine reads an answer. A ctx that ends leaves the read behind: its process ends too.
func (e *environment) readLine(ctx context.Context) (string, error) {
	type read struct {
		line string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(e.stdin, maxLine)).ReadString('\n')
		done <- read{line, err}
	}()
	select {
	case r := <-done:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("read answer: %w", r.err)
		}
		return r.line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// vote casts a vote and says what became of the call.
func (e *environment) vote(ctx context.Context, a *api.Client, id string, approval httpapi.Approval) error {
	call, err := a.Vote(ctx, id, approval)
	if err != nil {
		return err
	}
	return e.printState(call)
}

// printState says where a call stands, in a line.
func (e *environment) printState(call httpapi.CallDetail) error {
	if e.json {
		return e.printJSON(call)
	}
	e.printf("call %s of %s is %s\n", plain(call.CallID), plain(call.Tool), stateWords(call.CallSummary))
	return nil
}

func stateWords(c httpapi.CallSummary) string {
	switch c.State {
	case "held":
		return fmt.Sprintf("still held: %d approved, waiting for %s", len(c.Votes), firstOf(plain(strings.Join(c.Approvers, " or ")), "a person"))
	case "released":
		return "approved, and running"
	case "closed":
		words := "closed: " + plain(firstOf(c.Outcome, "closed"))
		if c.Reason != "" {
			words += " (" + plain(c.Reason) + ")"
		}
		return words
	default:
		return plain(c.State)
	}
}

func newDenyCommand(env *environment) *cobra.Command {
	var digest, reason string
	c := &cobra.Command{
		Use:     "deny CALL --reason REASON",
		Short:   "Deny a held call",
		Long:    `Deny a held call. One denial closes it. The reason reaches the agent, and the record.`,
		Example: `  deed deny 019ab2c4-… --reason "wrong customer" --as bob`,
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&digest, "digest", "", "deny only if the call has this `digest`")
	c.Flags().StringVar(&reason, "reason", "", "why, in words for the agent")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if strings.TrimSpace(reason) == "" {
			return withHint(usage("a denial needs a reason"), `say it by --reason "…": it tells the agent what to do instead`)
		}
		a, err := env.api()
		if err != nil {
			return err
		}
		if digest == "" {
			call, err := a.Call(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			digest = call.Digest
		}
		return env.vote(cmd.Context(), a, args[0], httpapi.Approval{Verdict: string(audit.Reject), Digest: digest, Reason: reason})
	}
	return c
}

func newCancelCommand(env *environment) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:     "cancel CALL",
		Short:   "Withdraw a held call of one's own",
		Example: `  deed cancel 019ab2c4-… --reason "no longer needed" --as alice`,
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := env.api()
		if err != nil {
			return err
		}
		call, err := a.Cancel(cmd.Context(), args[0], reason)
		if err != nil {
			return err
		}
		return env.printState(call)
	}
	return c
}

func newReconcileCommand(env *environment) *cobra.Command {
	var happened, didNot bool
	var note string
	c := &cobra.Command{
		Use:   "reconcile CALL (--happened | --did-not)",
		Short: "Say what became of a call that ended as unknown",
		Long: `Record what a person found out about a call whose outcome is unknown, because its tool,
the upstream or the broker died while it ran.`,
		Example: `  deed reconcile 019ab2c4-… --happened --note "refund 4711 is in the ledger" --as bob`,
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&happened, "happened", false, "the tool acted")
	c.Flags().BoolVar(&didNot, "did-not", false, "the tool did not act")
	c.Flags().StringVar(&note, "note", "", "how that is known")
	c.MarkFlagsMutuallyExclusive("happened", "did-not")
	c.MarkFlagsOneRequired("happened", "did-not")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a, err := env.api()
		if err != nil {
			return err
		}
		call, err := a.Reconcile(cmd.Context(), args[0], happened, note)
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(call)
		}
		env.printf("recorded: call %s of %s %s\n", plain(call.CallID), plain(call.Tool), happenedWords(happened))
		return nil
	}
	return c
}

func happenedWords(happened bool) string {
	if happened {
		return "happened"
	}
	return "did not happen"
}
