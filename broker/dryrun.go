package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/redact"
	"github.com/deedbroker/deed/tools"
)

const (
	// dryRunTime bounds a dry run: a person waits for it.
	dryRunTime = 15 * time.Second
	// maxDryRuns is how many run at once.
	maxDryRuns = 8
	// MaxForecast is how much of what a dry run answers is shown, in bytes.
	MaxForecast = 128 << 10
)

// DryRun says how it is found out what a held call would change, without making it. That
// it changes nothing is the word of whoever configured it, and of nobody else.
type DryRun struct {
	Tool      string                     // upstream.tool of another that only reads; empty: the same tool
	Arguments map[string]json.RawMessage // in place of the call's own
	Keep      []string                   // of the call's arguments; nil: all
	Against   string                     // the argument with what would be there in place of the answer
}

// Forecast is what a dry run answered: the upstream's own words.
type Forecast struct {
	Tool      string
	Arguments json.RawMessage // that it was asked with
	Text      string          // at most MaxForecast bytes
	Truncated bool
	Failed    bool    // the tool says so
	Against   *string // what would be there in place of the text, if they are to be compared
}

// Forecast runs a held call dry, for a person who may decide on it, and on the arguments that
// they were shown. That it does is on record before the upstream is asked: it is a
// look at what the upstream has. It fails with Denied for everybody else, Conflict when
// the call is decided or of other arguments by now, NotFound where no dry run
// is configured, and Upstream.
func (b *Broker) Forecast(ctx context.Context, viewer *agents.Identity, callID, digest string) (Forecast, error) {
	op := "dry run of " + clip(callID, 64)
	if err := b.admit(ctx, op, viewer); err != nil {
		return Forecast{}, err
	}
	h, c, err := b.foreseeable(ctx, op, viewer, callID, digest)
	if err != nil {
		return Forecast{}, err
	}
	t, args, against, err := b.rehearsal(ctx, op, h, c)
	if err != nil {
		return Forecast{}, err
	}
	select {
	case b.dryRuns <- struct{}{}:
		defer func() { <-b.dryRuns }()
	default:
		return Forecast{}, &Error{Kind: Overloaded, Op: op, CallID: c.ID, Retry: time.Second, Public: "too many dry runs are under way; try again in a second"}
	}
	if err := b.recordReading(ctx, op, audit.Reading{What: audit.ReadDryRun, Call: c.ID, For: t.Name(), By: recorded(viewer)}); err != nil {
		return Forecast{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, dryRunTime)
	defer cancel()
	answer, err := t.Call(ctx, tools.Call{ID: newID(), Arguments: args.Canonical, Subject: h.presented()})
	if err != nil {
		return Forecast{}, &Error{Kind: Upstream, Op: op, CallID: c.ID, Err: err, Public: "the dry run failed: " + undone(err)}
	}
	f := Forecast{Tool: t.Name(), Arguments: args.Canonical, Failed: answer.IsError, Against: against}
	f.Text, f.Truncated = textOf(answer)
	return f, nil
}

// foreseeable is a held call that the viewer may decide on now.
func (b *Broker) foreseeable(ctx context.Context, op string, viewer *agents.Identity, callID, digest string) (*hold, calls.Call, error) {
	h := b.holds.get(callID)
	if h == nil {
		return nil, calls.Call{}, &Error{Kind: NotFound, Op: op, Public: "no held call has this id"}
	}
	c, _ := h.snapshot()
	if d := b.mayVote(viewer, c); d.Effect != audit.Allow {
		if b.reads(viewer, resourceOf(c)) == "" {
			return nil, c, &Error{Kind: NotFound, Op: op, Public: "no held call has this id"}
		}
		return nil, c, b.refuseControl(ctx, viewer, "dry-run", c.ID, d)
	}
	conflict := func(public string) error { return &Error{Kind: Conflict, Op: op, CallID: c.ID, Public: public} }
	switch {
	case c.State != calls.Held || time.Now().After(c.Deadline()):
		return nil, c, conflict("the call is not held any more")
	case digest != c.Digest():
		return nil, c, conflict("the digest is not that of this call: look at the call again")
	}
	return h, c, nil
}

// rehearsal is the tool that a dry run calls, its arguments, and what its answer is
// compared with.
func (b *Broker) rehearsal(ctx context.Context, op string, h *hold, c calls.Call) (t *tools.Tool, args tools.Arguments, against *string, _ error) {
	fail := func(kind Kind, err error, format string, args2 ...any) error {
		return &Error{Kind: kind, Op: op, CallID: c.ID, Err: err, Public: fmt.Sprintf(format, args2...)}
	}
	how, ok := b.cfg.DryRuns[c.Intent.Tool]
	if !ok {
		return nil, args, nil, fail(NotFound, nil, "no dry run is configured for %s", c.Intent.Tool)
	}
	if c.Intent.Redacted != nil {
		return nil, args, nil, fail(Conflict, nil, "some of the arguments are redacted (%s), and a dry run would tell them", redact.Words(c.Intent.Redacted))
	}
	if t = b.unchanged(c); t == nil {
		return nil, args, nil, fail(Conflict, nil, "the tool is no longer what it was when it was called")
	}
	asked, err := b.arguments(ctx, h, c)
	if err != nil {
		return nil, args, nil, fail(Conflict, err, "the arguments cannot be read any more")
	}
	if how.Against != "" {
		text, ok := asked.Value[how.Against].(string)
		if !ok {
			return nil, args, nil, fail(Conflict, nil, "the call has no text in %s to compare with", how.Against)
		}
		against = &text
	}
	if how.Tool != "" && how.Tool != c.Intent.Tool {
		if t, err = b.cfg.Catalogue.Lookup(how.Tool); err != nil || t.Method != tools.MethodCall {
			return nil, args, nil, fail(Conflict, err, "the tool of the dry run, %s, cannot be called now", how.Tool)
		}
		if !readsOnly(t) {
			return nil, args, nil, fail(Conflict, nil, "%s does not say that it only reads: it is no dry run", t.Name())
		}
	}
	if args, err = how.arguments(asked, t); err != nil {
		return nil, args, nil, fail(Conflict, err, "there is no dry run of this call: %s", err.Error())
	}
	return t, args, against, nil
}

// arguments are those of a dry run of a call. What it sets is an argument that the tool
// knows: one that it did not know it could overlook, and act.
func (d DryRun) arguments(asked tools.Arguments, t *tools.Tool) (tools.Arguments, error) {
	var all, schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := jsonv2.Unmarshal(asked.Canonical, &all.Properties); err != nil {
		return tools.Arguments{}, errors.New("its arguments are no object")
	}
	if err := jsonv2.Unmarshal(t.InputSchema, &schema); err != nil {
		return tools.Arguments{}, errors.New("the tool's input schema cannot be read")
	}
	for name := range all.Properties {
		if d.Keep != nil && !slices.Contains(d.Keep, name) {
			delete(all.Properties, name)
		}
	}
	for name, value := range d.Arguments {
		if _, known := schema.Properties[name]; !known {
			return tools.Arguments{}, fmt.Errorf("%s has no argument %s, and might act", t.Name(), name)
		}
		all.Properties[name] = value
	}
	raw, err := jsonv2.Marshal(all.Properties, jsonv2.Deterministic(true))
	if err != nil {
		return tools.Arguments{}, fmt.Errorf("encode arguments: %w", err)
	}
	args, err := tools.ParseArguments(raw)
	if err != nil {
		return tools.Arguments{}, err
	}
	return args, t.Validate(args)
}

// textOf is what an answer says in words, and whether that is all that it says.
func textOf(a tools.Answer) (text string, cut bool) {
	var said struct {
		Content []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
	}
	if err := jsonv2.Unmarshal(a.Raw, &said); err != nil {
		return "", true
	}
	var parts []string
	for _, c := range said.Content {
		if c.Type == "text" {
			parts = append(parts, c.Text)
		}
	}
	text = strings.ToValidUTF8(strings.Join(parts, "\n"), "\uFFFD")
	if len(text) > MaxForecast {
		return strings.ToValidUTF8(text[:MaxForecast], ""), true
	}
	return text, len(parts) < len(said.Content)
}

// undone says why a dry run has no answer, in words for whoever asked.
func undone(err error) string {
	rpc, refused := errors.AsType[*tools.RPCError](err)
	switch {
	case refused:
		return refusedText(rpc)
	case errors.Is(err, context.DeadlineExceeded):
		return "the upstream did not answer in time"
	case isUncredentialed(err):
		return "the upstream wants a credential that there is none of now"
	default:
		return "the upstream could not be reached"
	}
}
