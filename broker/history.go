package broker

import (
	"bytes"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// history is what the log says at the start. Almost all calls in it were permitted
// at once and have ended: for those a look at the heads of their events is enough,
// and only what may still matter is decoded.
type history struct {
	open    map[string]*opened     // every call that is not closed, by id
	ended   []*calls.Call          // held calls that have ended lately, the last maxEnded or more
	unknown map[string]*calls.Call // closed as unknown and not reconciled, by id
	kept    []*calls.Call          // that can be meant again, and have ended lately

	repeatable func(stored []byte) (kept, byName bool)
	policy     string                  // digest of the policies activated last
	movedTo    string                  // where the history goes on in place of this log; empty if it does not
	pins       map[string]pinned       // by tool, the last
	rest       func(audit.Event) error // of control
	strange    func(audit.Record, error)
}

// opened is a call that is not closed as far as was read.
type opened struct {
	intent audit.Record
	head   audit.Head
	plain  bool        // certainly not held: ended by the first event that may end it
	kept   bool        // it can be meant again
	call   *calls.Call // nil while its intent has not been decoded
}

type pinned struct {
	digest string
	text   audit.Commitment
	at     audit.Position
}

func newHistory(rest func(audit.Event) error, strange func(audit.Record, error)) *history {
	return &history{rest: rest, open: map[string]*opened{}, unknown: map[string]*calls.Call{}, pins: map[string]pinned{}, strange: strange}
}

// fold reads one record of the past.
func (h *history) fold(rec audit.Record) {
	var err error
	switch _, topic, _ := audit.SplitLog(rec.Position.Log); topic {
	case audit.TopicCalls:
		err = h.foldCall(rec)
	case audit.TopicControl:
		err = h.foldControl(rec)
	}
	if err != nil {
		h.strange(rec, err)
	}
}

// holdMark stands in every intent that is held, and in hardly any other.
var holdMark = []byte(`"` + string(audit.Hold) + `"`)

func (h *history) foldCall(rec audit.Record) error {
	head, err := audit.Peek(rec.Stored)
	if err != nil {
		return err
	}
	o := h.open[head.Subject]
	switch {
	case head.Type == audit.CallReconciled:
		return h.reconciled(rec, head)
	case o == nil && head.Type != audit.CallIntent: // of a call that is closed
		return nil
	case o == nil:
		h.open[head.Subject] = &opened{intent: rec, head: head, plain: !bytes.Contains(rec.Stored, holdMark)}
		if h.repeatable != nil {
			h.open[head.Subject].kept, _ = h.repeatable(rec.Stored)
		}
		return nil
	case o.plain && !o.kept && head.Type != audit.CallUnknown && o.call == nil && o.endedBy(head):
		delete(h.open, head.Subject)
		return nil
	}
	c := h.folded(o)
	if c == nil {
		delete(h.open, head.Subject)
		return nil
	}
	return h.apply(c, rec)
}

// endedBy reports whether an event ends a call that was permitted at once, by the rules of package calls.
func (o *opened) endedBy(head audit.Head) bool {
	switch head.Type {
	case audit.CallUnknown:
		return true
	case audit.CallResult, audit.CallFailed, audit.CallCancelled:
		return head.Source == o.head.Source
	default:
		return false
	}
}

// folded decodes a call's intent, once; nil if it opens nothing.
func (h *history) folded(o *opened) *calls.Call {
	if o.call != nil {
		return o.call
	}
	e, err := o.intent.Event()
	if err == nil {
		var c calls.Call
		if _, err = c.Apply(e, o.intent.Position); err == nil {
			o.call, o.intent.Stored = &c, nil
			return o.call
		}
	}
	h.strange(o.intent, err)
	return nil
}

func (h *history) apply(c *calls.Call, rec audit.Record) error {
	e, err := rec.Event()
	if err != nil {
		return err
	}
	if _, err := c.Apply(e, rec.Position); err != nil {
		return err
	}
	if c.Open() {
		return nil
	}
	o := h.open[c.ID]
	delete(h.open, c.ID)
	if c.Closing.Type == audit.CallUnknown {
		h.unknown[c.ID] = c
	}
	if o.kept && time.Since(c.Closing.Time) <= keepFor {
		h.kept = append(h.kept, c)
	}
	if c.Intent.Decision.Effect == audit.Hold {
		h.ended = append(h.ended, c)
		if len(h.ended) > 2*maxEnded {
			h.ended = append([]*calls.Call(nil), h.ended[maxEnded:]...)
		}
	}
	return nil
}

// reconciled folds a person's finding about a call that was closed as unknown.
func (h *history) reconciled(rec audit.Record, head audit.Head) error {
	c := h.unknown[head.Subject]
	if c == nil {
		return nil
	}
	e, err := rec.Event()
	if err != nil {
		return err
	}
	counted, err := c.Apply(e, rec.Position)
	if counted {
		delete(h.unknown, c.ID)
	}
	return err
}

func (h *history) foldControl(rec audit.Record) error {
	e, err := rec.Event()
	if err != nil {
		return err
	}
	switch e.Type {
	case audit.LogMoved:
		m, err := audit.DataOf[audit.Move](e)
		if err == nil && m.To != "" {
			h.movedTo = m.To
		}
		return err
	case audit.PolicyActivated:
		a, err := audit.DataOf[audit.Activation](e)
		if err == nil {
			h.policy = a.PolicySet
		}
		return err
	case audit.ToolPinned:
		p, err := audit.DataOf[audit.Pin](e)
		if err == nil && p.Finding == "" {
			h.pins[p.Tool] = pinned{p.Definition, p.Text, rec.Position}
		}
		return err
	default:
		return h.rest(e)
	}
}
