package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/cmd/deed/api"
)

// replayFlags say whose story is told, and from where.
type replayFlags struct {
	call, session, agent, since, until, data string

	limit  int
	verify bool
	keys   []string
}

// toldCall is the story of one call.
type toldCall struct {
	CallID string `json:"call_id"`
	Tool   string `json:"tool"`
	Steps  []step `json:"steps"`
}

func (e *environment) replay(ctx context.Context, f replayFlags) error {
	keys, err := parseKeys(f.keys)
	if err != nil {
		return err
	}
	var found []httpapi.CallDetail
	var prove prover
	if f.data != "" {
		found, prove, err = e.storiesOfData(ctx, f, keys)
	} else {
		found, prove, err = e.storiesOfBroker(ctx, f, keys)
	}
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &exit{code: exitFailed, err: errors.New("no call that you may read fits")}
	}
	var all []toldCall
	for n, call := range found {
		steps := story(call.Events)
		if f.verify {
			if err := prove(ctx, call.Events, steps); err != nil {
				return err
			}
		}
		all = append(all, toldCall{call.CallID, call.Tool, steps})
		if e.json {
			continue
		}
		if n > 0 {
			e.printf("\n%s\n\n", strings.Repeat("-", 72))
		}
		e.tell(call, steps)
	}
	if e.json {
		if f.call != "" {
			return e.printJSON(all[0])
		}
		return e.printJSON(map[string]any{"calls": all})
	}
	if f.verify {
		e.printf("\nproved: every step above is in the log that %s signed\n", plain(strings.Join(f.keys, " or ")))
	}
	return nil
}

// prover proves the steps of one call, and says in each by what.
type prover func(ctx context.Context, events []httpapi.CallEvent, steps []step) error

func (e *environment) storiesOfBroker(ctx context.Context, f replayFlags, keys []seal.Verifier) ([]httpapi.CallDetail, prover, error) {
	a, err := e.api()
	if err != nil {
		return nil, nil, err
	}
	ids := []string{f.call}
	if f.call == "" {
		query := url.Values{}
		for name, value := range map[string]string{"session": f.session, "agent": f.agent} {
			if value != "" {
				query.Set(name, value)
			}
		}
		for name, text := range map[string]string{"since": f.since, "until": f.until} {
			if err := setTime(query, name, text, time.Now()); err != nil {
				return nil, nil, err
			}
		}
		list, err := a.Calls(ctx, query, f.limit)
		if err != nil {
			return nil, nil, err
		}
		ids = nil
		for _, c := range slices.Backward(list) { // the latest is listed first
			ids = append(ids, c.CallID)
		}
	}
	var found []httpapi.CallDetail
	for _, id := range ids {
		call, err := a.Call(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, call)
	}
	return found, proveByBroker(a, keys), nil
}

// proveByBroker asks for an inclusion proof of each record, and checks it.
func proveByBroker(a *api.Client, keys []seal.Verifier) prover {
	return func(ctx context.Context, events []httpapi.CallEvent, steps []step) error {
		for i, e := range events {
			p, err := a.Inclusion(ctx, e.Position)
			if err != nil {
				return err
			}
			at, err := audit.ParsePosition(e.Position)
			if err != nil {
				return err
			}
			c, by, err := seal.OpenCheckpoint(p.Checkpoint, keys...)
			if err == nil {
				err = seal.Inclusion{Log: at.Log, Index: at.Index, Size: p.Size, Path: p.Proof}.Check(c, e.Event)
			}
			if err != nil {
				return &exit{code: exitTampered, err: fmt.Errorf("%s is not proved: %w", e.Position, err)}
			}
			steps[i].Proof = fmt.Sprintf("proved: leaf %s is in the tree of %d records of %s that %s signed", tlog.RecordHash(e.Event), c.Size, c.Log, by.Name())
		}
		return nil
	}
}

// storiesOfData reads the calls from a data directory or an evidence pack.
func (e *environment) storiesOfData(ctx context.Context, f replayFlags, keys []seal.Verifier) ([]httpapi.CallDetail, prover, error) {
	from, err := e.openSource(ctx, []string{f.data})
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = from.Close() }() // it was only read
	period := url.Values{}
	for name, text := range map[string]string{"since": f.since, "until": f.until} {
		if err := setTime(period, name, text, time.Now()); err != nil {
			return nil, nil, err
		}
	}
	since, until, err := (&exporter{query: period}).bounds()
	if err != nil {
		return nil, nil, err
	}
	wants := func(c *calls.Call) bool {
		opened := c.Opening.Time
		return (f.call == "" || c.ID == f.call) && (f.session == "" || c.Intent.Identity.Session == f.session) &&
			(f.agent == "" || slices.ContainsFunc(c.Intent.Identity.Chain, func(a audit.Actor) bool { return a.ID == f.agent })) &&
			!opened.Before(since) && (until.IsZero() || opened.Before(until))
	}
	found, err := collect(ctx, from, wants)
	if err != nil {
		return nil, nil, err
	}
	if f.call == "" && len(found) > f.limit {
		found = found[len(found)-f.limit:]
	}
	var report *verify.Report
	if f.verify {
		if report, err = verify.Verify(ctx, from.unwrap(), verify.Options{Keys: keys}); err != nil {
			return nil, nil, err
		}
	}
	return found, proveByReport(report), nil
}

// collect reads the calls that are wanted, with their payloads.
func collect(ctx context.Context, from source, wants func(*calls.Call) bool) ([]httpapi.CallDetail, error) {
	var found []httpapi.CallDetail
	at := map[string]int{}
	for r, err := range from.Read(ctx, "") {
		if err != nil {
			return nil, err
		}
		e, err := r.Event()
		if err != nil || e.Topic != audit.TopicCalls {
			continue // what is wrong with the history is for verify to tell
		}
		i, known := at[e.Subject]
		if !known {
			var c calls.Call
			if _, err := c.Apply(e, r.Position); err != nil || !wants(&c) {
				continue
			}
			i = len(found)
			at[e.Subject] = i
			d := httpapi.CallDetail{}
			d.CallID, d.Tool, d.Domain = c.ID, c.Intent.Tool, c.Domain
			found = append(found, d)
		}
		d := &found[i]
		d.Events = append(d.Events, httpapi.CallEvent{Position: r.Position.String(), Event: r.Stored})
		if p, err := from.Payload(ctx, r.Position, audit.PayloadArguments); err == nil {
			d.Arguments = jsontext.Value(p.Body)
		}
		if p, err := from.Payload(ctx, r.Position, audit.PayloadOutput); err == nil && json.Valid(p.Body) {
			d.Output = jsontext.Value(p.Body)
		}
	}
	return found, nil
}

// proveByReport takes a verified history's word for every record that is sealed.
func proveByReport(report *verify.Report) prover {
	return func(_ context.Context, events []httpapi.CallEvent, steps []step) error {
		if !report.OK() {
			return &exit{code: exitTampered, err: fmt.Errorf("the history does not verify: %s", plain(report.Findings[0].String()))}
		}
		for i, e := range events {
			at, err := audit.ParsePosition(e.Position)
			if err != nil {
				return err
			}
			n := slices.IndexFunc(report.Logs, func(l verify.LogReport) bool { return l.Log == at.Log })
			if n < 0 || at.Index >= report.Logs[n].Sealed {
				return &exit{code: exitBusy, err: fmt.Errorf("%s is not sealed yet", e.Position)}
			}
			steps[i].Proof = fmt.Sprintf("proved: in the sealed tree of %d records of %s", report.Logs[n].Sealed, at.Log)
		}
		return nil
	}
}
