package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
)

// maxKeptArguments is how large arguments may be, in bytes, to be kept in memory
// while their call is held. Larger ones are read from the log each time.
const maxKeptArguments = 16 << 10

// hold is a held call: its state as folded from the log, and who waits for it here.
type hold struct {
	id     string
	caller string

	mu        sync.Mutex
	call      calls.Call          // guarded by mu
	changed   chan struct{}       // guarded by mu: closed and replaced at each change
	args      json.RawMessage     // guarded by mu: canonical; nil if they stand only in the log
	salt      []byte              // guarded by mu: of the arguments on record; nil until it was read
	said      *string             // guarded by mu: the agent's justification; nil until it was read
	quorum    quorum              // guarded by mu
	weighed   int                 // guarded by mu: of the votes, how many have been acted on
	deciding  bool                // guarded by mu: consider is at work
	again     bool                // guarded by mu: consider must look once more
	withdrawn bool                // guarded by mu: its caller was told that nothing was done
	subject   credentials.Subject // guarded by mu: of the caller, while their request is open
	releasing string              // guarded by mu: the call digest of a release of ours that may be in the log

	waiting []*Request // guarded by mu: those that wait for it here, the latest last

	key   callKey // guarded by holds.mu: zero until the arguments are known
	place int     // guarded by holds.mu: in the order of deadlines; -1 if not there
}

// atHand is what a replica knows of a held call without reading the log for it.
type atHand struct {
	args json.RawMessage // exact and canonical
	salt []byte          // of what is on record of them
	key  callKey
}

func newHold(c calls.Call, k atHand) *hold {
	h := &hold{id: c.ID, caller: callerOf(c.Intent.Identity), call: c, changed: make(chan struct{}), salt: k.salt, key: k.key, place: -1}
	if c.Open() && (len(k.args) <= maxKeptArguments || c.Intent.Redacted != nil) { // which are nowhere else
		h.args = k.args
	}
	return h
}

// snapshot is the call's state now, and a channel that closes when it changes.
func (h *hold) snapshot() (calls.Call, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.call, h.changed
}

// change wakes those who wait. The caller holds mu.
func (h *hold) change() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// apply folds one event of the call.
func (h *hold) apply(e audit.Event, at audit.Position) (counted bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	counted, err = h.call.Apply(e, at)
	if counted {
		h.change()
	}
	if !h.call.Open() {
		h.args, h.salt = nil, nil // nobody needs them any more; the log has them
	}
	if counted && e.Type == audit.CallEdited {
		h.args, h.salt, h.weighed = nil, nil, 0 // they are others now
	}
	return counted, err
}

// withdraw keeps the call from being released from here.
func (h *hold) withdraw() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.withdrawn = true
}

// markReleasing notes that a release of ours may be in the log from now on. It is
// void if the call was edited before it.
func (h *hold) markReleasing(digest string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releasing = digest
}

func (h *hold) flags() (withdrawn, releasing bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.withdrawn, h.releasing == h.call.Digest()
}

// attach has a request hear what the tool says, should it run while the request waits.
func (h *hold) attach(r *Request) (detach func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = append(h.waiting, r)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.waiting = slices.DeleteFunc(h.waiting, func(w *Request) bool { return w == r })
	}
}

// attendant is the request that waited last of those that still wait; nil if none does.
func (h *hold) attendant() *Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) == 0 {
		return nil
	}
	return h.waiting[len(h.waiting)-1]
}

// asker is the request that waited last of those that can be asked something; nil if none does.
func (h *hold) asker() *Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range slices.Backward(h.waiting) {
		if r.Ask != nil {
			return r
		}
	}
	return nil
}

// notify tells whoever waits what the tool says.
func (h *hold) notify(method string, params json.RawMessage) {
	if r := h.attendant(); r != nil && r.Notify != nil {
		r.Notify(method, params)
	}
}

// errNobody says that there is nobody to ask.
var errNobody = errors.New("nobody waits for the call any more")

// asking is how the tool of a released call may ask whoever waits for it.
func (h *hold) asking() tools.Asking {
	r := h.asker()
	if r == nil {
		return tools.Asking{}
	}
	return tools.Asking{
		Ask: func(ctx context.Context, questions json.RawMessage) (json.RawMessage, error) {
			now := h.asker()
			if now == nil {
				return nil, errNobody
			}
			return now.Ask(ctx, questions)
		},
		Capabilities: r.Capabilities,
	}
}

// callerOf is agents.Identity.Key of a recorded identity.
func callerOf(id audit.Identity) string {
	parts := []string{id.Issuer, id.Principal}
	for _, a := range id.Chain {
		parts = append(parts, a.ID)
	}
	return strings.Join(parts, "\x00")
}

// hold waits for people with the request open, for as long as the configuration says.
func (b *Broker) hold(ctx context.Context, c *call, f *flight) (*Reply, error) {
	select {
	case <-f.folded: // so that whoever learns of the call can find it
		if h := b.holds.get(c.id); h != nil {
			b.work.Go(func() { b.useGrants(b.live, h) })
			if !c.intent.TaskUntil.IsZero() && c.req.Ask != nil { // whose client comes back for its questions
				h.attach(&Request{Asking: c.req.Asking})
			}
			defer h.present(c.req.Subject)()
			return b.await(ctx, h, &c.req)
		}
		return nil, &Error{Kind: Internal, Op: "hold " + c.intent.Tool, CallID: c.id, Public: "the call could not be held, and nothing was done"}
	case <-ctx.Done():
	case <-b.flights.stopping:
	case <-b.live.Done():
	}
	d := c.intent.Decision
	return &Reply{CallID: c.id, Pending: &Pending{
		CallID: c.id, Tool: c.intent.Tool, Approvers: d.Approvers, Expires: *d.Expires, Reasons: d.Reasons, Waited: time.Since(c.start),
	}}, nil
}

// canonical are the exact arguments of a held call, from memory or from the log,
// where they are checked against what the intent commits to.
func (b *Broker) canonical(ctx context.Context, h *hold, c calls.Call) (json.RawMessage, error) {
	h.mu.Lock()
	args := h.args
	h.mu.Unlock()
	if args != nil {
		return args, nil
	}
	if c.Intent.Redacted != nil {
		return nil, fmt.Errorf("read arguments: %w", errRedacted)
	}
	args, err := b.onRecord(ctx, c)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.call.Open() && h.call.Digest() == c.Digest() && len(args) <= maxKeptArguments {
		h.args = args
	}
	return args, nil
}

// onRecord are the arguments of a call as people see them: as it runs with them, but for what
// is redacted.
func (b *Broker) onRecord(ctx context.Context, c calls.Call) (json.RawMessage, error) {
	commitment, at := c.Arguments()
	return b.committed(ctx, commitment, at)
}

// seen are onRecord of a held call.
func (b *Broker) seen(ctx context.Context, h *hold, c calls.Call) (json.RawMessage, error) {
	if c.Intent.Redacted != nil {
		return b.onRecord(ctx, c)
	}
	return b.canonical(ctx, h, c)
}

// salt is that of onRecord of a held call: what the person who decides is shown is on
// record under it.
func (b *Broker) salt(ctx context.Context, h *hold, c calls.Call) ([]byte, error) {
	h.mu.Lock()
	salt := h.salt
	h.mu.Unlock()
	if salt != nil {
		return salt, nil
	}
	commitment, at := c.Arguments()
	p, err := b.salted(ctx, commitment, at)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.call.Open() && h.call.Digest() == c.Digest() {
		h.salt = p.Salt
	}
	return p.Salt, nil
}

// made are the exact arguments that a call was made with, as the log has them.
func (b *Broker) made(ctx context.Context, c calls.Call) (json.RawMessage, error) {
	if c.Intent.Redacted != nil {
		return nil, fmt.Errorf("read arguments: %w", errRedacted)
	}
	return b.committed(ctx, c.Intent.Arguments, c.Opening.At)
}

// committed are the arguments that stand beside an event of a call, if they are what
// it commits to.
func (b *Broker) committed(ctx context.Context, c audit.Commitment, at audit.Position) (json.RawMessage, error) {
	p, err := b.salted(ctx, c, at)
	return p.Body, err
}

// salted are committed, with their salt.
func (b *Broker) salted(ctx context.Context, c audit.Commitment, at audit.Position) (audit.Payload, error) {
	p, err := b.cfg.Payloads.Payload(ctx, at, audit.PayloadArguments)
	if err != nil {
		return audit.Payload{}, fmt.Errorf("read arguments: %w", err)
	}
	if !c.Matches(p) {
		return audit.Payload{}, fmt.Errorf("read arguments: %w: they are not what %s commits to", audit.ErrCorrupt, at)
	}
	return p, nil
}

// arguments are the exact arguments of a held call, parsed.
func (b *Broker) arguments(ctx context.Context, h *hold, c calls.Call) (tools.Arguments, error) {
	raw, err := b.canonical(ctx, h, c)
	if err != nil {
		return tools.Arguments{}, err
	}
	args, err := tools.ParseArguments(raw)
	if err != nil {
		return tools.Arguments{}, fmt.Errorf("read arguments: %w", err)
	}
	return args, nil
}
