package verify

import (
	"context"
	"errors"
	"slices"

	"github.com/deedbroker/deed/audit"
)

// event checks what a record says.
func (v *verifier) event(ctx context.Context, r audit.Record) {
	for _, m := range r.Mismatches {
		v.find(Finding{Rule: MismatchPrefix + Rule(m.Rule), Where: r.Position, Expected: m.Expected, Found: m.Found + ", in message " + m.Message + " of " + m.Topic})
	}
	e, err := decode(r.Stored)
	if err != nil {
		v.find(Finding{Rule: Unparsable, Where: r.Position, Found: err.Error()})
		return
	}
	if !e.BelongsIn(r.Position.Log) {
		v.find(Finding{Rule: Misrouted, Where: r.Position, Expected: "an event of " + r.Position.Log, Found: "one of " + e.LogName(), CallID: e.Subject})
		return
	}
	if l := v.log(r.Position.Log); l.first > 0 && l.since.IsZero() {
		l.since = e.Time
	}
	v.calls.seen(e.ID)
	if l := v.log(r.Position.Log); r.Position.Index >= l.report.Sealed {
		l.unsealed(e)
	}
	if l := v.log(r.Position.Log); r.Position.Index >= l.report.Witnessed {
		v.unwitnessed(l, e)
	}
	if v.report.Tenant == "" {
		v.report.Tenant = e.Tenant
	}
	if e.Tenant != v.report.Tenant {
		v.find(Finding{Rule: UnknownTenant, Where: r.Position, Expected: v.report.Tenant, Found: e.Tenant, CallID: e.Subject})
	}
	if len(v.sources) > 0 && !v.sources[e.Source] {
		v.find(Finding{Rule: UnknownSource, Where: r.Position, Expected: "a replica that started", Found: e.Source, CallID: e.Subject})
	}
	if topics := topicsOf(e.Type); !slices.Contains(topics, e.Topic) {
		v.find(Finding{Rule: WrongTopic, Where: r.Position, Expected: "an event of " + e.Topic, Found: string(e.Type), CallID: e.Subject})
		return
	}
	if e.Topic == audit.TopicCalls {
		v.calls.apply(ctx, r, e)
		return
	}
	v.control(ctx, r, e)
}

// topicsOf are where events of a type may stand; types of later versions anywhere.
func topicsOf(t audit.Type) []string {
	switch t {
	case audit.StatementKeyAnnounced, audit.CallerRevoked, audit.RevocationLifted, audit.ControlRefused, audit.HistoryRead,
		audit.GrantMade, audit.GrantUsed, audit.GrantEnded, audit.PayloadsErased, audit.RecordsRemoved, audit.LogMoved, audit.LegalHoldPlaced, audit.LegalHoldLifted,
		audit.ReplicaStarted, audit.PolicyActivated, audit.ToolPinned, audit.KeyRotated:
		return []string{audit.TopicControl}
	case audit.TokenRejected:
		return []string{audit.TopicRejections}
	case audit.TreeSigned:
		return []string{audit.TopicCheckpoints}
	case audit.CallIntent, audit.CallApproval, audit.CallVoteRefused, audit.CallEdited, audit.CallReleased, audit.CallResult, audit.CallFailed,
		audit.CallDenied, audit.CallExpired, audit.CallCancelled, audit.CallUnknown, audit.CallReconciled:
		return []string{audit.TopicCalls}
	default:
		return []string{audit.TopicCalls, audit.TopicControl, audit.TopicRejections}
	}
}

// control checks the payloads that events of no call commit to.
func (v *verifier) control(ctx context.Context, r audit.Record, e audit.Event) {
	var err error
	if e.Type == audit.PolicyActivated {
		var data audit.Activation
		if data, err = audit.DataOf[audit.Activation](e); err == nil {
			v.payload(ctx, r.Position, audit.PayloadPolicy, data.Text, "")
		}
	}
	if e.Type == audit.ToolPinned {
		var data audit.Pin
		if data, err = audit.DataOf[audit.Pin](e); err == nil {
			v.payload(ctx, r.Position, audit.PayloadDefinition, data.Text, "")
		}
	}
	if err != nil {
		v.find(Finding{Rule: Unparsable, Where: r.Position, Found: err.Error()})
	}
}

func (v *verifier) payloadOf(ctx context.Context, at audit.Position, name string) (audit.Payload, error) {
	if v.beside == nil || v.beside.Record.Position != at {
		return v.source.Payload(ctx, at, name)
	}
	for _, p := range v.beside.Payloads {
		if p.Name == name && len(p.Salt) > 0 {
			return p, nil
		}
	}
	return v.source.Payload(ctx, at, name) // it says why there is none
}

// payload checks that what stands beside a record is what it commits to.
func (v *verifier) payload(ctx context.Context, at audit.Position, name string, c audit.Commitment, call string) {
	if v.options.SkipPayloads || c.Digest == "" {
		return
	}
	p, err := v.payloadOf(ctx, at, name)
	switch {
	case errors.Is(err, audit.ErrLost):
		v.report.Lost++
	case errors.Is(err, audit.ErrErased):
		v.erased(at, name, call)
	case errors.Is(err, ErrWithheld):
		v.report.Withheld++
	case errors.Is(err, audit.ErrNotFound):
		v.find(Finding{Rule: PayloadMissing, Where: at, Expected: "payload " + name + " of sha256 " + c.Digest, Found: "none", CallID: call})
	case err != nil:
		v.find(Finding{Rule: Unreadable, Where: at, Expected: "payload " + name, Found: err.Error(), CallID: call})
	case !c.Matches(p) || p.MediaType != c.MediaType:
		v.find(Finding{Rule: PayloadMismatch, Where: at, Expected: "payload " + name + " of sha256 " + c.Digest, Found: p.Commitment().Digest, CallID: call})
	default:
		v.report.Payloads++
		if len(v.erasures.of(at)) > 0 {
			v.report.Unerased++
		}
	}
}
