package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/client"
)

// maxArguments is the most that is read from a file or stdin.
const maxArguments = 4 << 20

func newCallCommand(env *environment) *cobra.Command {
	var arguments, key, why string
	var agents []string
	var wait time.Duration
	c := &cobra.Command{
		Use:   "call TOOL",
		Short: "Call a tool, as an agent does",
		Long: `Call a tool through the broker and print what it answers.

A call that people have to approve is answered as pending; that is no error. Print
its outcome later with ` + "`deed call --await CALL`" + `, or wait for it with --wait. --json prints the
tool's result as it came, or the error with its kind and reasons.`,
		Example: `  deed call files.read --args '{"path":"notes.txt"}' --as alice --agent copilot
  deed call payments.refund --args @refund.json --wait 10m
  echo '{"path":"."}' | deed call files.list --args -`,
	}
	flags := c.Flags()
	flags.StringVar(&arguments, "args", "{}", "the arguments: a `JSON` object, @file, or - for stdin")
	flags.StringVar(&key, "idempotency-key", "", "repeating the call with this `key` gives the first one's outcome")
	flags.StringVar(&why, "justification", "", "why the call is made, for those who may have to decide on it: a `text`")
	flags.StringArrayVar(&agents, "agent", nil, "an `agent` of the demo that acts for --as; may be repeated")
	flags.DurationVar(&wait, "wait", 0, "how long to wait for people, beyond the broker's own time")
	await := flags.String("await", "", "pick up the outcome of a pending `call`, in place of calling a tool")
	c.Args = func(_ *cobra.Command, args []string) error {
		switch {
		case *await == "" && len(args) != 1:
			return usage("one tool is required, such as files.read")
		case *await != "" && len(args) != 0:
			return usage("--await takes no tool")
		default:
			return nil
		}
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if wait < 0 {
			return usage("--wait cannot be negative")
		}
		raw, err := env.readArguments(arguments)
		if err != nil {
			return err
		}
		mcp, err := env.mcp(agents)
		if err != nil {
			return err
		}
		defer func() { _ = mcp.Close() }() // there is no session to end
		waiting := client.Waiting{Wait: wait, OnProgress: env.progress()}
		var result *client.Result
		if *await != "" {
			result, err = mcp.Await(cmd.Context(), *await, waiting)
		} else {
			result, err = mcp.Call(cmd.Context(), args[0], raw, client.CallOptions{IdempotencyKey: key, Justification: why, Waiting: waiting})
		}
		if err != nil {
			return env.refused(err)
		}
		return env.printResult(result, agents)
	}
	return c
}

// readArguments gives the JSON object that --args stands for.
func (e *environment) readArguments(given string) (json.RawMessage, error) {
	text := []byte(given)
	var err error
	switch {
	case given == "-":
		text, err = io.ReadAll(io.LimitReader(e.stdin, maxArguments+1))
	case strings.HasPrefix(given, "@"):
		text, err = readFile(given[1:])
	}
	if err != nil {
		return nil, usage("read arguments: %w", err)
	}
	if len(text) > maxArguments {
		return nil, usage("the arguments have more than %d bytes", maxArguments)
	}
	trimmed := strings.TrimSpace(string(text))
	if !json.Valid(text) || !strings.HasPrefix(trimmed, "{") {
		return nil, withHint(usage("the arguments are not a JSON object"), `write them as '{"name":"value"}', @file, or - for stdin`)
	}
	return json.RawMessage(trimmed), nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the user names the file to read
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(io.LimitReader(f, maxArguments+1))
}

// progress tells a person how the call fares.
func (e *environment) progress() func(client.Progress) {
	if !e.interactive || e.json {
		return nil
	}
	last := ""
	return func(p client.Progress) {
		if p.Message != "" && p.Message != last {
			last = p.Message
			e.say("%s\n", plain(p.Message))
		}
	}
}

// callOutcome is what `deed call --json` prints.
type callOutcome struct {
	CallID  string          `json:"call_id,omitempty"`
	Status  string          `json:"status"` // result, tool_error, pending, or the kind of a refusal
	Pending *client.Pending `json:"pending,omitempty"`
	Message string          `json:"message,omitempty"`
	Reasons []client.Reason `json:"reasons,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
}

func (e *environment) printResult(r *client.Result, agents []string) error {
	out := callOutcome{CallID: r.CallID, Status: "result", Pending: r.Pending, Result: r.Raw}
	code := exitOK
	switch {
	case r.Pending != nil:
		out.Status, out.Result = "pending", nil
	case r.IsError:
		out.Status, code = "tool_error", exitFailed
	}
	if e.json {
		if err := e.printJSON(out); err != nil {
			return err
		}
		return e.ended(code)
	}
	switch {
	case r.Pending != nil:
		e.printPending(r.Pending, agents)
	case r.IsError:
		e.say("error: the tool failed: %s\n", multiline(r.Text))
	case r.Text != "":
		e.printf("%s\n", multiline(r.Text))
	default:
		e.printf("%s\n", prettyJSON(r.Raw))
	}
	return e.ended(code)
}

func (e *environment) ended(code int) error {
	if code == exitOK {
		return nil
	}
	return silent(code)
}

func (e *environment) printPending(p *client.Pending, agents []string) {
	if p.Released {
		e.printf("running: call %s of %s has not finished yet\n", plain(p.CallID), plain(p.Tool))
	} else {
		who := firstOf(strings.Join(p.Approvers, " or "), "a person")
		e.printf("held: call %s of %s waits for approval by %s (%d so far), until %s\n",
			plain(p.CallID), plain(p.Tool), plain(who), p.Votes, when(p.Expires, time.Now()))
		for _, r := range p.Reasons {
			e.printf("  policy %s: %s\n", plain(r.Policy), plain(r.Text))
		}
		e.printf("approve it with:      deed approve %s%s\n", plain(p.CallID), e.there())
	}
	e.printf("get its outcome with: deed call --await %s --wait 10m%s%s\n", plain(p.CallID), e.by(agents), e.there())
}

// there leads another command to the same broker.
func (e *environment) there() string {
	if e.url == "" {
		return ""
	}
	return " --url " + plain(e.url)
}

// by has another command act as the same person and agents of a demo.
func (e *environment) by(agents []string) string {
	if e.as == "" {
		return ""
	}
	words := []string{"", "--as", plain(e.as)}
	for _, a := range agents {
		words = append(words, "--agent", plain(a))
	}
	return strings.Join(words, " ")
}

// refused prints a refusal for programs, if they asked.
func (e *environment) refused(err error) error {
	c, ok := err.(*client.Error) //nolint:errorlint // as the client returns it
	if !e.json || !ok {
		return err
	}
	out := callOutcome{CallID: c.CallID, Status: string(c.Kind), Message: c.Message, Reasons: c.Reasons}
	if err := e.printJSON(out); err != nil {
		return err
	}
	return silent(codeOf(err))
}

func newToolsCommand(env *environment) *cobra.Command {
	var agents []string
	c := &cobra.Command{
		Use:   "tools",
		Short: "List the tools that one could call",
		Long: `List the tools that the caller could call with some arguments. A call of one of them can
still be denied for its arguments; one that is not listed always is.`,
		Example: `  deed tools --as alice --agent copilot
  deed tools --json | jq -r '.items[].name'`,
		Args: cobra.NoArgs,
	}
	c.Flags().StringArrayVar(&agents, "agent", nil, "an `agent` of the demo that acts for --as; may be repeated")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		mcp, err := env.mcp(agents)
		if err != nil {
			return err
		}
		defer func() { _ = mcp.Close() }() // there is no session to end
		return env.listTools(cmd.Context(), mcp)
	}
	c.AddCommand(newReviewCommand(env))
	return c
}

func (e *environment) listTools(ctx context.Context, mcp *client.Client) error {
	tools, err := mcp.Tools(ctx)
	if err != nil {
		return err
	}
	if e.json {
		items := []json.RawMessage{}
		for _, t := range tools {
			items = append(items, t.Raw)
		}
		return e.printJSON(map[string]any{"items": items})
	}
	t := newTable(e.stdout, "TOOL", "DESCRIPTION")
	for _, tool := range tools {
		description, _, _ := strings.Cut(firstOf(tool.Description, tool.Title), "\n")
		t.row(plain(displayName(tool.Name)), cut(description, 100))
	}
	t.flush()
	if len(tools) == 0 {
		e.say("there is no tool that this caller could call\n")
	}
	return nil
}

// displayName is a wire name as people write it, as far as it can be told.
func displayName(wire string) string {
	if wire == "deed__await" || len(wire) >= 64 {
		return wire
	}
	if upstream, tool, ok := strings.Cut(wire, "__"); ok && client.WireName(upstream+"."+tool) == wire {
		return fmt.Sprintf("%s.%s", upstream, tool)
	}
	return wire
}
