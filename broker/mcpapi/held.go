package mcpapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
)

// A client is told that its call is held in the best way that it understands:
//
//	2026-07-28, elicitation  the result asks its person to look at the call in the console (by
//	                         URL, or in a form without fields), and the call is sent again
//	                         with the requestState to wait for the outcome
//	older, URL elicitation   its person is shown the URL while the call waits
//	progress token           progress, for as long as the request stays open
//	anything                 then a pending answer, which deed__await or the same call again picks up

const (
	heldPrefix = "held."
	heldKey    = "approval" // of the question
)

// elicits reports whether a client can be asked things, and whether by URL.
func elicits(capabilities jsontext.Value) (form, byURL bool) {
	var c struct {
		Elicitation map[string]jsontext.Value `json:"elicitation"`
	}
	if err := jsonv2.Unmarshal(capabilities, &c); err != nil || c.Elicitation == nil {
		return false, false
	}
	_, byURL = c.Elicitation["url"]
	_, form = c.Elicitation["form"]
	return form || !byURL, byURL
}

// card is where people see a call, and decide on it.
func (h *Handler) card(callID string) string { return h.cfg.URL + "/#/calls/" + callID }

// approvalQuestion is what the person before the client is asked about a held call.
func (h *Handler) approvalQuestion(p *broker.Pending, byURL bool) []byte {
	message, _, _ := strings.Cut(pendingText(p), "\nTo get the outcome")
	b := append([]byte(`{"method":"`), mcp.MethodElicitationCreate...)
	if byURL {
		b = append(b, `","params":{"mode":"url","elicitationId":`...)
		b = appendText(b, p.CallID)
		b = append(b, `,"url":`...)
		b = appendText(b, h.card(p.CallID))
		b = append(b, `,"message":`...)
		return append(appendText(b, message), "}}"...)
	}
	b = append(b, `","params":{"mode":"form","message":`...)
	b = appendText(b, message+"\n"+h.card(p.CallID)+"\nGo on waiting for it?")
	return append(b, `,"requestedSchema":{"type":"object","properties":{}}}}`...)
}

// askToWait answers a held call with the question whether to wait for it; false if the client cannot be asked.
func (h *Handler) askToWait(v *invocation, p *broker.Pending) bool {
	form, byURL := elicits(v.m.meta.capabilities)
	if !v.modern() || v.returned || !form && !byURL {
		return false
	}
	b := append([]byte(`{"`+heldKey+`":`), h.approvalQuestion(p, byURL)...)
	v.out.finish(http.StatusOK, success(v.m.id, h.inputRequired(append(b, '}'), h.heldState(v, p.CallID))))
	return true
}

// heldState names a held call in a way that only its caller can use, for the same call.
func (h *Handler) heldState(v *invocation, callID string) string {
	mac := hmac.New(sha256.New, h.key)
	call := v.digest()
	mac.Write([]byte(callID + "\x00" + v.in.identity.Key() + "\x00"))
	mac.Write(call[:])
	return heldPrefix + callID + "." + hex.EncodeToString(mac.Sum(nil))
}

// returnToHeld waits for the held call that state names; false if it names none.
func (h *Handler) returnToHeld(v *invocation, state string) bool {
	rest, ok := strings.CutPrefix(state, heldPrefix)
	callID, _, _ := strings.Cut(rest, ".")
	if !ok || !hmac.Equal([]byte(state), []byte(h.heldState(v, callID))) {
		return false
	}
	v.returned = true
	ctx, cancel := v.context(h.cfg.Limits)
	defer cancel(nil)
	var waiting func(broker.Pending)
	if v.n.wantsProgress() {
		waiting = v.n.waiting
	}
	reply, err := h.cfg.Caller.Await(ctx, v.in.identity, callID, waiting)
	h.finish(ctx, v, reply, err)
	return true
}

// shower shows the person before a client of the revisions with sessions where a held call can be decided on.
type shower struct {
	h    *Handler
	v    *invocation
	ctx  context.Context //nolint:containedctx // of the call
	once sync.Once
}

// showing is a waiting function that shows the card once, and then calls next; nil if there is nothing to do.
func (h *Handler) showing(ctx context.Context, v *invocation, next func(broker.Pending)) (waiting func(broker.Pending), shown func() bool) {
	if v.s == nil || !v.out.streams {
		return next, func() bool { return false }
	}
	if _, byURL := elicits(v.s.can); !byURL {
		return next, func() bool { return false }
	}
	s := &shower{h: h, v: v, ctx: ctx}
	did := false
	return func(p broker.Pending) {
		if !p.Released {
			s.once.Do(func() { did = true; s.show(p) })
		}
		if next != nil {
			next(p)
		}
	}, func() bool { return did }
}

func (s *shower) show(p broker.Pending) {
	question := s.h.approvalQuestion(&p, true)
	s.h.work.Go(func() {
		// Whatever the person says to it, the call waits for those who may decide.
		_, _ = s.v.askOne(s.ctx, question)
	})
}

// over tells a client that what its person was shown is decided.
func (v *invocation) over(callID string) {
	b := append([]byte(`{"jsonrpc":"2.0","method":"`), mcp.MethodNotificationElicitationComplete...)
	b = append(b, `","params":{"elicitationId":`...)
	v.out.send(append(appendText(b, callID), "}}"...))
}

// heldAsks reports whether a held call of a client is answered at once, with a question.
func (v *invocation) heldAsks() bool {
	form, byURL := elicits(v.m.meta.capabilities)
	return v.modern() && (form || byURL) && v.m.call.name != awaitTool && v.method != tools.MethodSubscribe
}
