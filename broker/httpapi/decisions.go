package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/policy"
)

// maxReason bounds what people write, in bytes. The broker cuts it further.
const maxReason = 4 << 10

// Approval is the body of POST /v1/calls/{id}/approvals.
type Approval struct {
	Verdict string `json:"verdict"`         // approve or deny
	Digest  string `json:"digest"`          // the call digest that the person was shown
	Shown   string `json:"shown,omitempty"` // digest of the sentence that the person was shown
	Reason  string `json:"reason"`          // required to deny; it reaches the agent

	// Arguments, if given, are approved in place of those that the call was made with.
	// Somebody else has to approve them too.
	Arguments jsontext.Value `json:"arguments,omitempty"`
}

// Finding is the body of POST /v1/calls/{id}/reconciliation.
type Finding struct {
	Happened *bool  `json:"happened"` // whether the tool acted
	Note     string `json:"note"`
}

// voteOnCall serves POST /v1/calls/{id}/approvals.
func (a *api) voteOnCall(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body Approval
	if err := decode(r, &body); err != nil {
		return err
	}
	if err := checkReason(body.Reason); err != nil {
		return err
	}
	id := r.PathValue("id")
	if !isCallID(id) {
		return notFound("no held call has this id")
	}
	c, err := a.decide(r.Context(), v, id, body)
	if err != nil {
		return err
	}
	a.answerAfter(w, r, v, c)
	return nil
}

func (a *api) decide(ctx context.Context, v *viewer, id string, body Approval) (calls.Call, error) {
	if body.Arguments == nil {
		return a.cfg.Broker.Vote(ctx, broker.Vote{
			Identity: v.id, CallID: id, Verdict: audit.Verdict(body.Verdict), Digest: body.Digest, Shown: body.Shown, Reason: body.Reason,
		})
	}
	if body.Verdict != string(audit.Approve) {
		return calls.Call{}, invalid("only an approval can have arguments")
	}
	return a.cfg.Broker.Edit(ctx, broker.Edit{
		Identity: v.id, CallID: id, Digest: body.Digest, Shown: body.Shown, Arguments: body.Arguments, Reason: body.Reason,
	})
}

// cancelCall serves DELETE /v1/calls/{id}?reason=.
func (a *api) cancelCall(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "reason")
	if p.err != nil {
		return p.err
	}
	id := r.PathValue("id")
	if !isCallID(id) {
		return notFound("no held call of yours has this id")
	}
	c, err := a.cfg.Broker.Cancel(r.Context(), v.id, id, p.text("reason"))
	if err != nil {
		return err
	}
	a.answerAfter(w, r, v, c)
	return nil
}

// reconcileCall serves POST /v1/calls/{id}/reconciliation.
func (a *api) reconcileCall(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body Finding
	if err := decode(r, &body); err != nil {
		return err
	}
	if body.Happened == nil {
		return invalid("happened must be true or false: it is what you found out")
	}
	if err := checkReason(body.Note); err != nil {
		return err
	}
	f, err := a.find(r.Context(), v, r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := a.cfg.Broker.Reconcile(r.Context(), v.id, f.call, *body.Happened, body.Note); err != nil {
		return err
	}
	d := a.after(r.Context(), v, f)
	d.Reconciled = &Reconciliation{Happened: *body.Happened, By: v.id.Principal, Note: body.Note}
	write(w, http.StatusOK, mediaJSON, d)
	return nil
}

func checkReason(s string) error {
	if len(s) > maxReason || !utf8.ValidString(s) {
		return invalid("a reason or note is text of at most %s", byteCount(maxReason))
	}
	return nil
}

// answerAfter answers with a call that the viewer has just decided on: as much of it
// as they may read, and no less than what became of it.
func (a *api) answerAfter(w http.ResponseWriter, r *http.Request, v *viewer, c calls.Call) {
	f := found{call: c}
	if now, err := a.find(r.Context(), v, c.ID); err == nil {
		f.records = now.records
		if now.held != nil {
			f.held, f.call = now.held, now.held.Call
		}
	}
	write(w, http.StatusOK, mediaJSON, a.after(context.WithoutCancel(r.Context()), v, f))
}

// after is a call that the viewer has just done something about: its metadata, if it cannot
// be put on record that they see more.
func (a *api) after(ctx context.Context, v *viewer, f found) CallDetail {
	d, err := a.reveal(ctx, v, f, policy.TierResults)
	if err != nil {
		a.cfg.Logger.LogAttrs(ctx, slog.LevelError, "a call is shown without its arguments", slog.String("call_id", f.call.ID), slog.Any("error", err))
		d = a.detail(ctx, v, f, policy.TierMetadata)
	}
	return d
}
