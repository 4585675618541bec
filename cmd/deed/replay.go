package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/httpapi"
)

func newReplayCommand(env *environment) *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay [CALL]",
		Short: "Tell the story of a call, of a session or of an agent, event by event",
		Long: `Tell, in the order of the log, what happened: who wanted what, which policies decided
and why, who voted, when it ran and what came of it. Nothing runs again.

With --verify each step is proved: that its record is in the log that the broker's key has
signed. The key is given by --key. From a data directory or an evidence pack (--data) the whole
history is verified first, arguments and results too.`,
		Example: `  deed replay 019ab2c4-… --as carol
  deed replay 019ab2c4-… --as carol --verify --key 'deed/acme+1f8b2c3d+AZ…'
  deed replay --session 0f8fad5b-… --as carol
  deed replay --agent copilot --since 1h --data evidence.zip --verify --key 'deed/acme+1f8b2c3d+AZ…'`,
		Args: cobra.MaximumNArgs(1),
	}
	flags := c.Flags()
	flags.StringVar(&f.session, "session", "", "all calls of this `session` at the identity provider")
	flags.StringVar(&f.agent, "agent", "", "all calls in whose chain this `agent` acts")
	flags.StringVar(&f.since, "since", "", "of a session or agent, calls opened at this `time` or later")
	flags.StringVar(&f.until, "until", "", "of a session or agent, calls opened before this `time`")
	flags.IntVar(&f.limit, "limit", 100, "of a session or agent, how many calls at most: the latest")
	flags.StringVar(&f.data, "data", "", "read this data `directory` or evidence pack in place of a broker")
	flags.BoolVar(&f.verify, "verify", false, "prove each step")
	flags.StringArrayVar(&f.keys, "key", nil, "a verifier `key` to trust; may be repeated")
	c.MarkFlagsMutuallyExclusive("session", "agent")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if (len(args) == 1) == (f.session != "" || f.agent != "") {
			return usage("name a call, or else a session or an agent")
		}
		if f.verify && len(f.keys) == 0 {
			return withHint(usage("proving needs the broker's public key"), "give it by --key; `deed demo` prints it, and `deed verify DIR` which keys signed")
		}
		if len(args) == 1 {
			f.call = args[0]
		}
		return env.replay(cmd.Context(), f)
	}
	return c
}

// step is one event of a call in words.
type step struct {
	At       time.Time `json:"at"`
	Position string    `json:"position"`
	Type     string    `json:"type"`
	What     string    `json:"what"`
	Details  []string  `json:"details,omitempty"`
	Proof    string    `json:"proof,omitempty"` // what proves that it is in the log, in words
}

func (e *environment) tell(call httpapi.CallDetail, steps []step) {
	e.printf("call %s of %s\n", plain(call.CallID), plain(call.Tool))
	if call.Withheld.Arguments != "" {
		e.printf("with arguments that are not shown: %s\n", plain(call.Withheld.Arguments))
	}
	if len(call.Arguments) > 0 {
		e.printf("with %s\n", indent(prettyJSON(call.Arguments))[2:])
	}
	if len(steps) == 0 {
		e.say("its events are for those only who may read the domain %s\n", plain(call.Domain))
		return
	}
	start := steps[0].At
	for _, s := range steps {
		e.printf("\n%s  +%s  %s\n", when(s.At, time.Now()), s.At.Sub(start).Round(time.Millisecond), plain(s.What))
		for _, d := range s.Details {
			e.printf("    %s\n", plain(d))
		}
		e.printf("    at %s\n", plain(s.Position))
		if s.Proof != "" {
			e.printf("    %s\n", plain(s.Proof))
		}
	}
	if call.Withheld.Output != "" {
		e.printf("\nwhat it answered is not shown: %s\n", plain(call.Withheld.Output))
	}
	if len(call.Output) > 0 {
		e.printf("\nit answered\n%s\n", indent(prettyJSON(call.Output)))
	}
}

func story(events []httpapi.CallEvent) []step {
	var steps []step
	for _, stored := range events {
		s := step{Position: stored.Position}
		event, err := audit.ParseEvent(stored.Event)
		if err == nil {
			s.At, s.Type = event.Time, string(event.Type)
			err = narrate(event, &s)
		}
		if err != nil {
			s.What, s.Details = "an event that cannot be read", []string{err.Error()}
		}
		steps = append(steps, s)
	}
	return steps
}

// narrate puts an event into words.
func narrate(e audit.Event, s *step) error {
	switch e.Type {
	case audit.CallIntent:
		return told(e, s, tellIntent)
	case audit.CallApproval:
		return told(e, s, func(a audit.Approval, s *step) {
			s.What = a.By.Principal + " approved it" + because(a.Reason)
			s.Details = reasonLines(a.Decision)
		})
	case audit.CallVoteRefused:
		return told(e, s, func(a audit.Approval, s *step) {
			s.What = a.By.Principal + " tried to vote, and was refused" + because(a.Reason)
			s.Details = reasonLines(a.Decision)
		})
	case audit.CallEdited:
		return told(e, s, func(d audit.Edit, s *step) {
			s.What = d.By.Principal + " changed its arguments, and approved that" + because(d.Reason) + "; " + decided(d.Decision)
			s.Details = append(reasonLines(d.Permission), reasonLines(d.Decision)...)
		})
	case audit.CallReleased:
		return told(e, s, func(r audit.Release, s *step) {
			s.What = fmt.Sprintf("released to run, on %d approvals", len(r.Approvals))
			s.Details = reasonLines(r.Decision)
		})
	case audit.CallResult, audit.CallFailed, audit.CallDenied, audit.CallExpired, audit.CallCancelled, audit.CallUnknown:
		return told(e, s, func(o audit.Outcome, s *step) { tellOutcome(e.Type, o, s) })
	case audit.CallReconciled:
		return told(e, s, func(r audit.Reconciliation, s *step) {
			s.What = r.By.Principal + " found that it " + happenedWords(r.Happened) + because(r.Note)
		})
	case audit.ReplicaStarted, audit.PolicyActivated, audit.ToolPinned, audit.KeyRotated, audit.TokenRejected, audit.TreeSigned,
		audit.CallerRevoked, audit.RevocationLifted, audit.ControlRefused, audit.HistoryRead, audit.PayloadsErased, audit.RecordsRemoved, audit.LogMoved:
		s.What = "an event that is about no call"
	default:
		s.What = "an event of a kind that this version does not know: " + string(e.Type)
	}
	return nil
}

func told[T any](e audit.Event, s *step, tell func(T, *step)) error {
	data, err := audit.DataOf[T](e)
	if err != nil {
		return err
	}
	tell(data, s)
	return nil
}

func tellIntent(i audit.Intent, s *step) {
	s.What = wanted(i) + "; " + decided(i.Decision)
	s.Details = append(identityLines(i.Identity), reasonLines(i.Decision)...)
	if i.Client != "" {
		s.Details = append(s.Details, "client, by its own word: "+i.Client)
	}
}

func tellOutcome(t audit.Type, o audit.Outcome, s *step) {
	if o.Request != nil {
		s.What = wanted(*o.Request) + "; "
		s.Details = identityLines(o.Request.Identity)
	}
	by := ""
	if o.By != nil {
		by = " by " + o.By.Principal
	}
	switch t { // the closing events only, which the caller has chosen
	case audit.CallResult:
		s.What += fmt.Sprintf("it ran, for %.1f ms, and succeeded", o.Millis)
	case audit.CallFailed:
		s.What += "it ran and failed"
		if o.Code == audit.CodeUpstreamError {
			s.What = "it did not run: the upstream refused, or was not reached"
		}
	case audit.CallDenied:
		s.What += "denied" + by
	case audit.CallExpired:
		s.What += "expired: nobody decided in time"
	case audit.CallCancelled:
		s.What += "cancelled" + by + ", and not run"
	default:
		s.What += "nobody knows whether it acted"
	}
	s.Details = append(s.Details, "code "+o.Code+because(o.Reason))
	if o.Decision != nil {
		s.Details = append(s.Details, reasonLines(*o.Decision)...)
	}
}

func wanted(i audit.Intent) string {
	who := i.Identity.Principal
	if len(i.Identity.Chain) > 0 {
		who = i.Identity.Chain[0].ID
		if i.Identity.Principal != "" {
			who += ", on behalf of " + i.Identity.Principal + ","
		}
	}
	return who + " wanted to call " + i.Tool
}

func decided(d audit.Decision) string {
	switch d.Effect {
	case audit.Allow:
		return "policy allowed it"
	case audit.Hold:
		return "policy held it for " + firstOf(strings.Join(d.Approvers, " or "), "a person")
	case audit.Deny:
		return "policy denied it"
	default:
		return "policy said " + string(d.Effect)
	}
}

func identityLines(i audit.Identity) []string {
	line := "token of " + i.Issuer
	if len(i.Roles) > 0 {
		line += "; roles " + strings.Join(i.Roles, ", ")
	}
	lines := []string{line}
	if len(i.Chain) > 1 {
		var ids []string
		for _, a := range i.Chain {
			ids = append(ids, a.ID)
		}
		lines = append(lines, "chain: "+strings.Join(ids, " for "))
	}
	return lines
}

func reasonLines(d audit.Decision) []string {
	var lines []string
	for _, r := range d.Reasons {
		line := "policy " + r.Policy
		if r.Effect != "" {
			line += " (" + r.Effect + ")"
		}
		if r.Link != "" {
			line += " on " + r.Link
		}
		if r.Text != "" {
			line += ": " + r.Text
		}
		lines = append(lines, line)
	}
	for _, e := range d.Errors {
		lines = append(lines, "policy error: "+e)
	}
	return lines
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
