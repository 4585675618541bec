package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/policy"
)

const noCall = "there is no call of this id that you may read"

// found is a call as it stands, and where its events are.
type found struct {
	call    calls.Call
	held    *broker.HeldCall // as the broker shows it to the viewer, if it does
	records []audit.Record   // in the order of the log
}

// showCall serves GET /v1/calls/{id}.
func (a *api) showCall(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "tier")
	upTo := p.tier()
	if p.err != nil {
		return p.err
	}
	f, err := a.find(r.Context(), v, r.PathValue("id"))
	if err != nil {
		return err
	}
	d, err := a.reveal(r.Context(), v, f, upTo)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, d)
	return nil
}

// find looks a call up for a viewer. What they may not see is not found.
func (a *api) find(ctx context.Context, v *viewer, id string) (found, error) {
	if !isCallID(id) {
		return found{}, notFound(noCall)
	}
	var f found
	if h, err := a.cfg.Broker.Held(ctx, v.id, id); err == nil {
		f.call, f.held = h.Call, &h
	} else if broker.AsError(err).Kind != broker.NotFound {
		return found{}, err
	}
	history, err := a.cfg.History.Call(ctx, id)
	unknown := errors.Is(err, audit.ErrNotFound)
	switch {
	case unknown && f.held == nil:
		return found{}, notFound(noCall)
	case err != nil && !unknown:
		return found{}, fmt.Errorf("show call: %w", err)
	}
	if f.held == nil && !v.mayRead(broker.SubjectOf(history.Folded)) {
		return found{}, withheld(noCall)
	}
	places := marks(f.call)
	for _, e := range history.Events {
		places = append(places, e.Position)
	}
	if f.records, err = a.records(ctx, places); err != nil {
		return found{}, err
	}
	if f.held == nil || f.call.State == calls.Closed {
		f.call = a.fold(ctx, f.records)
		if f.held == nil && !v.mayRead(broker.SubjectOf(f.call)) { // what the log says counts
			return found{}, withheld(noCall)
		}
	}
	return f, nil
}

// marks are the places of events that a call remembers by itself, for calls that
// the index has not met yet, or not all of.
func marks(c calls.Call) []audit.Position {
	all := []audit.Position{c.Opening.At, c.Releasing.At, c.Closing.At}
	for _, e := range c.Edits {
		all = append(all, e.At)
	}
	for _, v := range c.Votes {
		all = append(all, v.At)
	}
	return slices.DeleteFunc(all, func(p audit.Position) bool { return p.Log == "" })
}

// records reads what the log holds at these places, in its order.
func (a *api) records(ctx context.Context, places []audit.Position) ([]audit.Record, error) {
	slices.SortFunc(places, func(a, b audit.Position) int { return cmp.Or(cmp.Compare(a.Log, b.Log), cmp.Compare(a.Index, b.Index)) })
	places = slices.Compact(places)
	records := make([]audit.Record, 0, len(places))
	for _, p := range places {
		r, err := a.cfg.Log.Record(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("read event: %w", err)
		}
		records = append(records, r)
	}
	return records, nil
}

// fold is what the records come to. Those that no honest broker wrote change nothing.
func (a *api) fold(ctx context.Context, records []audit.Record) calls.Call {
	var c calls.Call
	for _, r := range records {
		e, err := r.Event()
		if err == nil {
			_, err = c.Apply(e, r.Position)
		}
		if err != nil {
			a.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "event does not fit the protocol",
				slog.String("position", r.Position.String()), slog.Any("error", err))
		}
	}
	return c
}

// detail shows a call up to a tier. Its events and what it answered are for those only who
// may read it: deciding on a held call takes no more than its arguments.
func (a *api) detail(ctx context.Context, v *viewer, f found, upTo policy.Tier) CallDetail {
	d := CallDetail{HeldCall: describe(f.call), Events: []CallEvent{}, Shown: []Shown{}, Reconciled: reconciliation(f.call.Reconciled)}
	most := v.most(f)
	shown := lesser(most, upTo)
	d.show(most, shown, f.call.Outcome.Output != nil)
	if f.held != nil {
		d.put(*f.held, shown)
	}
	if f.call.State == calls.Held {
		a.precede(ctx, &d.HeldCall)
	}
	if !v.mayRead(broker.SubjectOf(f.call)) {
		return d
	}
	if shown.Covers(policy.TierArguments) {
		a.putArguments(ctx, &d, f)
	}
	if shown.Covers(policy.TierResults) {
		var p audit.Payload
		p, d.Erased.Output = a.payload(ctx, f.call.Closing.At, audit.PayloadOutput, f.call.Outcome.Output)
		d.Output, d.OnRecord.Output = jsontext.Value(p.Body), proofOf(p)
	}
	for _, r := range f.records {
		if e, err := r.Event(); err == nil && e.Subject == f.call.ID {
			d.Events = append(d.Events, CallEvent{Position: r.Position.String(), Cursor: string(r.Next), Event: r.Stored})
		}
	}
	return d
}

// putArguments adds what the call was made with, as far as it is not there yet.
func (a *api) putArguments(ctx context.Context, d *CallDetail, f found) {
	var p audit.Payload
	if d.Arguments == nil {
		commitment, at := f.call.Arguments()
		p, d.Erased.Arguments = a.payload(ctx, at, audit.PayloadArguments, &commitment)
		d.ArgumentsErased = d.Erased.Arguments
	} else {
		p = audit.Payload{Salt: f.held.Salt, Body: d.Arguments}
	}
	d.Arguments, d.OnRecord.Arguments = jsontext.Value(p.Body), proofOf(p)
	if p.Body != nil {
		d.Shown = a.shown(f.call, p)
	}
	d.Justification, d.OnRecord.Justification = a.justification(ctx, f.call)
	if len(f.call.Edits) > 0 {
		p, _ = a.payload(ctx, f.call.Opening.At, audit.PayloadArguments, &f.call.Intent.Arguments)
		d.Asked, d.OnRecord.Asked = jsontext.Value(p.Body), proofOf(p)
	}
}

// justification is what the log has of why the agent says that it makes the call.
func (a *api) justification(ctx context.Context, c calls.Call) (text string, _ *OnRecord) {
	said, _ := a.payload(ctx, c.Opening.At, audit.PayloadJustification, c.Intent.Justification)
	if said.Body == nil {
		return "", nil
	}
	if err := json.Unmarshal(said.Body, &text); err != nil {
		a.cfg.Logger.LogAttrs(ctx, slog.LevelError, "justification is not text", slog.String("position", c.Opening.At.String()))
	}
	return text, proofOf(said)
}

// payload is what an event commits to, if it is still there; without a body if it is not.
func (a *api) payload(ctx context.Context, at audit.Position, name string, want *audit.Commitment) (_ audit.Payload, erased bool) {
	if want == nil || want.Digest == "" || at.Log == "" {
		return audit.Payload{}, false
	}
	p, err := a.cfg.Log.Payload(ctx, at, name)
	if err == nil && !want.Matches(p) {
		err = fmt.Errorf("read %s: %w: it is not what its event commits to", name, audit.ErrCorrupt)
	}
	switch {
	case err == nil && jsontext.Value(p.Body).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)):
		return p, false
	case errors.Is(err, audit.ErrErased):
		return audit.Payload{}, true
	case err == nil:
		err = errors.New("it is not JSON")
	}
	a.cfg.Logger.LogAttrs(ctx, slog.LevelError, "payload cannot be shown",
		slog.String("position", at.String()), slog.String("payload", name), slog.Any("error", err))
	return audit.Payload{}, false
}
