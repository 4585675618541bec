package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/agents/client"
	issuer "github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker/config"
)

// scene is the agent copilot at work on behalf of alice, as shown in the terminal.
type scene struct {
	Options
	cfg    *config.Config
	ready  Ready
	issuer *issuer.Server
	tokens *issuer.Client
	agent  *client.Client
}

// say ignores what a terminal that has gone away answers.
func (s *scene) say(format string, args ...any) { _, _ = fmt.Fprintf(s.Out, format+"\n", args...) }

func (s *scene) play(ctx context.Context) error {
	s.say(`Deed is up.
  agents call     %s
  people look at  %s
  identities by   %s   (demo only: anyone is anyone)
  everything is   %s
`, s.ready.MCP, s.ready.Console, s.ready.Issuer, s.ready.Data)
	var err error
	if s.tokens, err = issuer.NewClient(ctx, s.issuer.Secrets(), nil); err != nil {
		return err
	}
	s.agent, err = s.connect(false)
	if err != nil {
		return err
	}
	defer func() { _ = s.agent.Close() }()
	s.say("The agent copilot acts for alice (support), with a token that says so.\n")
	for _, step := range []func(context.Context) error{s.list, s.allowed, s.denied, s.expired} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return s.held(ctx)
}

// connect makes a client for copilot on behalf of alice.
func (s *scene) connect(expired bool) (*client.Client, error) {
	return client.New(client.Options{
		URL: strings.TrimSuffix(s.ready.MCP, "/mcp"), Name: "deed demo", Version: s.Version,
		Token: func(ctx context.Context) (string, error) {
			t, err := s.tokens.Token(ctx, issuer.TokenRequest{User: "alice", Agents: []string{issuer.Copilot}, Expired: expired})
			if err != nil {
				return "", err
			}
			return string(t.Access), nil
		},
	})
}

func (s *scene) list(ctx context.Context) error {
	tools, err := s.agent.Tools(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range tools {
		names = append(names, t.Name)
	}
	s.say("1. It lists its tools: those that policy could ever let it call.\n     %s\n", strings.Join(names, "  "))
	return nil
}

func (s *scene) allowed(ctx context.Context) error {
	const tool, args = "files.read_file", `{"path":"welcome.txt"}`
	s.say("2. It calls %s %s", tool, args)
	r, err := s.agent.Call(ctx, tool, json.RawMessage(args), client.CallOptions{})
	if err != nil {
		return err
	}
	s.say("     ALLOWED by support-works (alice) and assistants-work (copilot)\n     %s\n     call %s\n",
		indent(r.Text), r.CallID)
	return nil
}

func (s *scene) denied(ctx context.Context) error {
	const tool, args = "files.delete_file", `{"path":"welcome.txt"}`
	s.say("3. It calls %s %s", tool, args)
	_, err := s.agent.Call(ctx, tool, json.RawMessage(args), client.CallOptions{})
	refused, ok := errors.AsType[*client.Error](err)
	if !ok || refused.Kind != client.Denied {
		return fmt.Errorf("the call was to be denied, and was not: %w", err)
	}
	s.say("     DENIED   %s\n     call %s\n", refused.Message, refused.CallID)
	return nil
}

func (s *scene) expired(ctx context.Context) error {
	s.say("4. It comes with a token that has expired")
	late, err := s.connect(true)
	if err != nil {
		return err
	}
	defer func() { _ = late.Close() }()
	_, err = late.Call(ctx, "files.read_file", json.RawMessage(`{"path":"welcome.txt"}`), client.CallOptions{})
	refused, ok := errors.AsType[*client.Error](err)
	if !ok || refused.Kind != client.Unauthenticated {
		return fmt.Errorf("the token was to be refused, and was not: %w", err)
	}
	s.say("     REFUSED  %s (HTTP %d): no identity, no event\n", refused.Message, refused.Status)
	return nil
}

func (s *scene) held(ctx context.Context) error {
	const tool, args = "payments.refund", `{"payment":"pay-1002","amount":120,"reason":"arrived broken"}`
	s.say("5. It calls %s %s", tool, args)
	r, err := s.agent.Call(ctx, tool, json.RawMessage(args), client.CallOptions{})
	if err == nil && r.Pending != nil {
		s.sayHeld(*r.Pending)
		r, err = s.await(ctx, r.CallID)
	}
	switch refused, ok := errors.AsType[*client.Error](err); {
	case ok:
		s.say("     %s  %s\n     call %s\n", strings.ToUpper(string(refused.Kind)), refused.Message, refused.CallID)
	case err != nil:
		return err
	default:
		s.say("     APPROVED, and run:\n     %s\n     call %s\n", indent(r.Text), r.CallID)
	}
	return s.verify(ctx)
}

func (s *scene) sayHeld(p client.Pending) {
	var why []string
	for _, r := range p.Reasons {
		if text := r.Policy + ": " + r.Text; !slices.Contains(why, text) {
			why = append(why, text)
		}
	}
	s.say(`     HELD     %s
     It waits for somebody who is %s, until %s. Nothing has run. Decide as bob:
       in a browser     %s
       or a terminal    %s approve %s --as bob%s
                        %s deny %s --as bob --reason "…"%s
`, strings.Join(why, "; "), strings.Join(p.Approvers, " or "), p.Expires.Local().Format(time.TimeOnly), s.ready.Console,
		s.Command, p.CallID, s.flags(), s.Command, p.CallID, s.flags())
}

// flags are what the CLI needs to find a demo that is not where it is by default.
func (s *scene) flags() string {
	f := ""
	if s.Listen != DefaultListen {
		f += " --url http://" + s.Listen
	}
	return f
}

func (s *scene) await(ctx context.Context, callID string) (*client.Result, error) {
	for {
		r, err := s.agent.Await(ctx, callID, client.Waiting{Wait: time.Hour})
		if err != nil || r.Pending == nil {
			return r, err
		}
	}
}

// verify does what `deed verify` does, beside the running broker.
func (s *scene) verify(ctx context.Context) error {
	select { // until the call's last event is under a checkpoint
	case <-time.After(seal.DefaultInterval + 500*time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	log, end, err := s.history(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = end() }()
	key, err := seal.ParseVerifier(s.ready.VerifierKey)
	if err != nil {
		return err
	}
	report, err := verify.Verify(ctx, log, verify.Options{Keys: []seal.Verifier{key}})
	if err != nil {
		return err
	}
	s.say("6. Anyone can check:  %s verify %s\n       --key %s", s.Command, s.where(), s.ready.VerifierKey)
	if !report.OK() {
		for _, f := range report.Findings {
			s.say("     %s", f)
		}
		return errors.New("the history does not verify")
	}
	s.say("     VERIFIED %d records of %d calls under %d signed checkpoints: complete, in order, untouched\n",
		report.Records, report.Calls, report.Checkpoints)
	s.say("Deed stays up. Try  %s call payments.balance --args '{\"account\":\"acc-ada\"}' --as alice --agent copilot%s\nStop it with ctrl-C; the next start goes on from here.", s.Command, s.flags())
	return nil
}

// history opens what is to be verified.
func (s *scene) history(ctx context.Context) (verify.Source, func() error, error) {
	if s.Pulsar {
		return openTopics(ctx, s.cfg)
	}
	log, err := embedded.OpenReadOnly(ctx, s.Data)
	if err != nil {
		return nil, nil, err
	}
	return log, log.Close, nil
}

// where is how `deed verify` is told of it.
func (s *scene) where() string {
	if p := s.cfg.Log.Pulsar; p != nil {
		return "--pulsar " + p.URL + " --tenant " + s.cfg.Tenant + " --token-file " + p.Auth.TokenFile
	}
	return filepath.Clean(s.Data)
}

func indent(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n     ")
}
