package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/cmd/deed/api"
)

func newEraseCommand(env *environment) *cobra.Command {
	var scope scopeFlags
	var reason string
	var yes, preview bool
	c := &cobra.Command{
		Use:   "erase [CALL] --reason REASON",
		Short: "Erase the arguments and results of calls for good",
		Long: `Erase the arguments and results of a call, or of all calls that fit the flags. What would
go is shown first, and nothing goes before it is confirmed. Who erased what and why is on
record; events and proofs stay as they are, and "deed verify" still passes. Nobody finds
the calls by their arguments any more. Calls that wait for people are cancelled, with that
reason; calls that run keep theirs.

What is under a legal hold is not erased, and that it was asked for is on record too. Only
people can erase, whom policy permits the action "erase" on each call.`,
		Example: `  deed erase 019ab2c4-… --reason "it was the wrong customer" --as bob
  deed erase --principal alice --reason "asked by alice, ticket 4711" --preview
  deed erase --session 4b1c… --reason "ticket 4712" --yes`,
		Args: cobra.MaximumNArgs(1),
	}
	scope.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&preview, "preview", false, "show what would go, and erase nothing")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := scope.scope(args, time.Now())
		if err != nil {
			return err
		}
		if !preview && strings.TrimSpace(reason) == "" {
			return withHint(usage("an erasure needs a reason"), `say it by --reason "…": it is what the record will say`)
		}
		a, err := env.api()
		if err != nil {
			return err
		}
		would, err := everyPage(cmd.Context(), a.PreviewErasure, httpapi.NewErasure{Scope: s, Reason: reason})
		if err != nil {
			return err
		}
		if preview {
			return env.printErasure("would erase", would.Erasure)
		}
		return env.erase(cmd.Context(), a, httpapi.NewErasure{Scope: s, Reason: reason}, would, yes)
	}
	return c
}

// pages is what all pages of an erasure come to, and the cursor before the first with
// something that is held.
type pages struct {
	httpapi.Erasure

	held string
}

// everyPage goes on until there is no next page.
func everyPage(ctx context.Context, do func(context.Context, httpapi.NewErasure) (httpapi.Erasure, error), e httpapi.NewErasure) (pages, error) {
	sum := pages{Erasure: httpapi.Erasure{Held: []httpapi.HeldBack{}}}
	for {
		one, err := do(ctx, e)
		if err != nil {
			return sum, err
		}
		if len(one.Held) > 0 && len(sum.Held) == 0 {
			sum.held = e.Cursor
		}
		sum.Calls += one.Calls
		sum.Payloads += one.Payloads
		sum.Bytes += one.Bytes
		sum.Cancelled += one.Cancelled
		sum.Open += one.Open
		sum.Held = append(sum.Held, one.Held...)
		if one.Next == "" {
			return sum, nil
		}
		e.Cursor = one.Next
	}
}

// erase asks for consent, and erases. Where something is under a legal hold the broker
// is asked all the same, so that its refusal is on record.
func (e *environment) erase(ctx context.Context, a *api.Client, what httpapi.NewErasure, would pages, yes bool) error {
	if len(would.Held) > 0 {
		what.Cursor = would.held
		_, err := a.Erase(ctx, what)
		if err == nil {
			err = errors.New("what was under a legal hold is not any more: ask again")
		}
		return err
	}
	if err := e.consentToErase(ctx, what.Scope, would.Erasure, yes); err != nil {
		return err
	}
	done, err := everyPage(ctx, a.Erase, what)
	if err != nil {
		return err
	}
	return e.printErasure("erased", done.Erasure)
}

func (e *environment) consentToErase(ctx context.Context, s httpapi.Scope, would httpapi.Erasure, yes bool) error {
	if yes || would.Calls == 0 {
		return nil
	}
	if !e.interactive {
		return withHint(usage("there is no terminal to confirm at"), "see --preview, and give --yes")
	}
	if would.Cancelled > 0 {
		e.say("%d of the calls wait for people, and are cancelled by it.\n", would.Cancelled)
	}
	e.say("%d arguments and results of %d calls (%s), %d bytes, go for good. Erase them? [y/N] ", would.Payloads, would.Calls, scopeWords(s), would.Bytes)
	answer, err := e.readLine(ctx)
	if err != nil {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was erased")
	}
	return nil
}

func (e *environment) printErasure(verb string, x httpapi.Erasure) error {
	if e.json {
		return e.printJSON(x)
	}
	e.printf("%s: %d arguments and results of %d calls, %d bytes\n", verb, x.Payloads, x.Calls, x.Bytes)
	if x.Cancelled > 0 {
		e.printf("%d of the calls waited for people: they are cancelled\n", x.Cancelled)
	}
	if x.Open > 0 {
		e.printf("%d calls run, and keep theirs\n", x.Open)
	}
	for _, h := range x.Held {
		e.printf("held: call %s is under legal hold %s: %s\n", plain(h.CallID), plain(h.Hold.ID), cut(h.Hold.Reason, 60))
	}
	return nil
}
