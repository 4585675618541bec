package broker

import (
	"fmt"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/redact"
)

// This file keeps off the record what a domain wants nobody to read. Of a call whose
// arguments are redacted the exact ones are in the memory of the replica that took it, and
// nowhere else: while the call is held that replica alone can release it, and once it has
// been restarted nobody can.

// errRedacted says that what a call was made with is not known here. It is as good as erased.
var errRedacted = fmt.Errorf("%w: some of it was redacted from the record", audit.ErrErased)

// rules are those of a domain; nil: all is recorded.
func (b *Broker) rules(domain string) *redact.Rules {
	if b.cfg.Redact == nil {
		return nil
	}
	return b.cfg.Redact(domain)
}

// record prepares what is put on record of a call's arguments and of why it is made.
func (b *Broker) record(c *call) error {
	rules := b.rules(c.domain)
	r, err := rules.Arguments(c.args.Canonical)
	if err != nil {
		return fmt.Errorf("redact arguments: %w", err)
	}
	args := audit.NewPayload(audit.PayloadArguments, r.Body)
	c.stored, c.salt, c.intent.Arguments = append(c.stored, args), args.Salt, args.Commitment()
	c.intent.Redacted, c.intent.Secrets = r.Redacted, r.Secrets
	if c.req.Justification == "" {
		return nil
	}
	text, err := jsontext.AppendQuote(nil, c.req.Justification)
	if err == nil {
		r, err = rules.Arguments(text)
	}
	if err != nil {
		return fmt.Errorf("record justification: %w", err)
	}
	p := audit.NewPayload(audit.PayloadJustification, r.Body)
	commitment := p.Commitment()
	c.stored, c.intent.Justification = append(c.stored, p), &commitment
	c.intent.Secrets = append(c.intent.Secrets, r.Secrets...)
	return nil
}

// sayable is what is put on record of why a call was refused: that can name arguments.
func (b *Broker) sayable(domain, reason string) string {
	text, err := jsontext.AppendQuote(nil, reason)
	if err != nil {
		return "it cannot be written down"
	}
	r, err := b.rules(domain).Arguments(text)
	if err == nil && r.Redacted != nil {
		text, err = jsontext.AppendUnquote(nil, r.Body)
		reason = string(text)
	}
	if err != nil {
		return "it cannot be written down"
	}
	return reason
}

// recordAnswer prepares what is put on record of an answer.
func (b *Broker) recordAnswer(of running, said []byte, out *audit.Outcome) (audit.Payload, error) {
	r, err := b.rules(of.domain).Answer(said)
	if err != nil {
		return audit.Payload{}, fmt.Errorf("redact answer: %w", err)
	}
	if r.Redacted != nil {
		b.answers.keep(of.id, said)
	}
	p := audit.NewPayload(audit.PayloadOutput, r.Body)
	commitment := p.Commitment()
	out.Output, out.Redacted, out.Secrets = &commitment, r.Redacted, r.Secrets
	return p, nil
}

const (
	maxAnswers     = 64      // that are kept for those who wait
	maxKeptAnswers = 1 << 20 // bytes of one
)

// answers are the last ones of which something is redacted on record, as they were.
type answers struct {
	mu    sync.Mutex
	exact map[string][]byte // guarded by mu: by call
	order []string          // guarded by mu: of calls, the oldest first
}

func (a *answers) keep(callID string, said []byte) {
	if len(said) > maxKeptAnswers {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.exact == nil {
		a.exact = map[string][]byte{}
	}
	if len(a.order) == maxAnswers {
		delete(a.exact, a.order[0])
		a.order = a.order[1:]
	}
	a.exact[callID], a.order = said, append(a.order, callID)
}

func (a *answers) of(callID string) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.exact[callID]
}

// unknownHere says of a held call whose exact arguments this replica does not have what
// becomes of it: nothing while another replica may have them.
func (b *Broker) unknownHere(c calls.Call) ruling {
	if c.Opening.Source != b.source {
		return ruling{}
	}
	return cancelled(audit.CodeErased, "some of its arguments are kept off the record ("+redact.Words(c.Intent.Redacted)+
		"), and the broker that knew them has been restarted: it has to be called again", nil)
}
