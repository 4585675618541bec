package broker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
)

// maxBars is how many calls of one tool for one principal may have an unknown outcome
// until every further one is refused.
const maxBars = 1_000

// bars are the calls whose outcome is unknown and has not been reconciled: each keeps the
// same effect from being had again. They are a fold over the log.
type bars struct {
	mu      sync.Mutex
	running map[string]*opened // guarded by mu: calls permitted at once that nothing else tracks, by id
	byID    map[string]*bar    // guarded by mu
	of      map[string][]*bar  // guarded by mu: by effectOf, in the order of their ends
	changed chan struct{}      // guarded by mu: closed and replaced when one is lifted
}

// bar is one of them. Its call is not changed: a bar that knows more takes its place.
type bar struct {
	call   calls.Call
	prints []fingerprint // guarded by bars.mu: of what was asked for and of what ran; nil until they are known
	erased bool          // guarded by bars.mu: they never will be
	failed error         // guarded by bars.mu: why they could not be read, the last time
	again  time.Time     // guarded by bars.mu: when that is tried once more
}

// barReadAgain is how long it is not tried again to read what an unknown call was made with:
// to look for what is not there takes long, and all that is barred asks for it.
const barReadAgain = 5 * time.Second

func newBars() *bars {
	return &bars{running: map[string]*opened{}, byID: map[string]*bar{}, of: map[string][]*bar{}, changed: make(chan struct{})}
}

// effectOf is whose effect a call has, of which tool: its principal's, whoever acts; an
// agent's own where there is none.
func effectOf(in audit.Intent) string {
	who := in.Identity.Issuer + "\x00" + in.Identity.Principal
	if in.Identity.Principal == "" {
		who = callerOf(in.Identity)
	}
	return who + "\x00\x00" + in.Tool
}

// begin notes a call that was permitted at once.
func (b *bars) begin(o *opened) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running[o.head.Subject] = o
}

// over takes a call that an event ends out of those that run; nil if it is none of them.
func (b *bars) over(head audit.Head) *opened {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.running[head.Subject]
	if o == nil || !o.endedBy(head) {
		return nil
	}
	delete(b.running, head.Subject)
	return o
}

// drop takes a call that something else tracks out of those that run.
func (b *bars) drop(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, id)
}

// add bars the effect of a call from being had again. The arguments may be at hand.
func (b *bars) add(c calls.Call, args []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of, n, old := effectOf(c.Intent), &bar{call: c}, b.byID[c.ID]
	b.byID[c.ID] = n
	if old == nil {
		if args != nil {
			n.prints = []fingerprint{sha256.Sum256(args)}
		}
		b.of[of] = append(b.of[of], n)
		return
	}
	if n.erased = old.erased; len(c.Edits) == 0 { // with edits, what was asked for bars it too
		n.prints = old.prints
	}
	b.of[of][slices.Index(b.of[of], old)] = n
}

// lift ends a bar.
func (b *bars) lift(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.byID[id]
	if n == nil {
		return
	}
	delete(b.byID, id)
	of := effectOf(n.call.Intent)
	left := slices.DeleteFunc(slices.Clone(b.of[of]), func(o *bar) bool { return o == n })
	if b.of[of] = left; len(left) == 0 {
		delete(b.of, of)
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// standing reports whether a call bars others, and gives a channel that closes when a bar is lifted.
func (b *bars) standing(id string) (bool, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byID[id] != nil, b.changed
}

func (b *bars) get(id string) (calls.Call, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := b.byID[id]; n != nil {
		return n.call, true
	}
	return calls.Call{}, false
}

// match looks for a bar of an effect. One whose arguments are not known yet is given too.
func (b *bars) match(of string, wanted fingerprint) (match *bar, unread *bar, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.of[of] {
		switch {
		case o.erased || slices.Contains(o.prints, wanted):
			return o, nil, len(b.of[of])
		case o.prints == nil:
			unread = o
		}
	}
	return nil, unread, len(b.of[of])
}

// unreadable is why the arguments of a bar could not be read just now; nil if that is to be tried.
func (b *bars) unreadable(n *bar) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().Before(n.again) {
		return n.failed
	}
	return nil
}

func (b *bars) fail(n *bar, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n.failed, n.again = err, time.Now().Add(barReadAgain)
}

func (b *bars) printed(n *bar, prints []fingerprint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n.prints, n.erased = prints, prints == nil
}

// bar keeps the effect of a call whose outcome is unknown from being had again. The
// arguments that it ran with may be at hand.
func (b *Broker) bar(c calls.Call, args []byte) {
	if t, err := b.cfg.Catalogue.Lookup(c.Intent.Tool); err == nil && repeatsSafely(t) {
		return // which also bounds how many there are
	}
	b.bars.add(c, args)
}

// repeatsSafely reports whether a tool says that calling it again does no more than
// calling it once: then nothing has to be known of a call that was broken off.
func repeatsSafely(t *tools.Tool) bool {
	return readsOnly(t) || t.Annotations.Idempotent != nil && *t.Annotations.Idempotent
}

// unreconciled refuses a call that would have the effect once more which an earlier one
// may have had.
func (b *Broker) unreconciled(ctx context.Context, in audit.Intent, t *tools.Tool, canonical []byte) *refusal {
	if repeatsSafely(t) {
		return nil
	}
	of, wanted := effectOf(in), fingerprint(sha256.Sum256(canonical))
	for {
		match, unread, n := b.bars.match(of, wanted)
		switch {
		case match != nil:
			return barredBy(match.call, in)
		case n >= maxBars:
			return &refusal{
				kind: Conflict, code: audit.CodeUnreconciled,
				public: fmt.Sprintf("%d calls of this tool have an outcome that is not known; nothing was done. People have to reconcile them first: deed history --outcome unknown", n),
			}
		case unread == nil:
			return nil
		}
		if err := b.readBar(ctx, unread); err != nil {
			return unreadable(unread.call.ID, err)
		}
	}
}

func barredBy(c calls.Call, in audit.Intent) *refusal {
	callID := c.ID
	if c.Open() {
		return &refusal{
			kind: Conflict, code: audit.CodeUnreconciled,
			public: "an earlier call of " + in.Tool + " with the same arguments, " + callID + ", goes on in its upstream since before the broker was restarted. " +
				"Nothing was done now, so that nothing happens twice. The outcome is given by deed__await with that call id; call again once it has ended",
		}
	}
	return &refusal{
		kind: Conflict, code: audit.CodeUnreconciled,
		public: "an earlier call of " + in.Tool + " with the same arguments, " + callID + ", may have acted: its outcome is not known. Nothing was done now, " +
			"so that nothing happens twice. Ask a person to find out and record it (deed reconcile " + callID + " --happened or --did-not); then call again",
	}
}

// readBar finds out with which arguments a call had been made, and ran. Whoever calls does
// not wait for that longer than for an acknowledgement.
func (b *Broker) readBar(ctx context.Context, n *bar) error {
	if err := b.bars.unreadable(n); err != nil {
		return err
	}
	reading, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	asked, err := b.made(reading, n.call)
	ran := asked
	if err == nil && len(n.call.Edits) > 0 {
		commitment, at := n.call.Arguments()
		ran, err = b.committed(reading, commitment, at)
	}
	switch {
	case errors.Is(err, audit.ErrLost): // it was never acknowledged, so that nothing ran
		b.bars.lift(n.call.ID)
		return nil
	case errors.Is(err, audit.ErrErased): // then every call of the tool may be the same
		b.bars.printed(n, nil)
		return nil
	case err != nil:
		if ctx.Err() == nil { // else it is the caller who has given up
			b.bars.fail(n, err)
		}
		return err
	}
	b.bars.printed(n, []fingerprint{sha256.Sum256(asked), sha256.Sum256(ran)})
	return nil
}

// meetUntracked folds an event of a call that was permitted at once, and that nothing
// else tracks.
func (b *Broker) meetUntracked(ctx context.Context, rec audit.Record, head audit.Head) {
	o := b.bars.over(head)
	if o == nil || head.Type != audit.CallUnknown {
		return
	}
	var c calls.Call
	records := []audit.Record{o.intent, rec}
	if o.call != nil {
		c, records = *o.call, records[1:]
	}
	for _, r := range records {
		e, err := r.Event()
		if err == nil {
			_, err = c.Apply(e, r.Position)
		}
		if err != nil {
			b.strange(ctx, r, err)
			return
		}
	}
	b.bar(c, nil)
}

// meetReconciled lifts a bar, if a person's finding counts.
func (b *Broker) meetReconciled(ctx context.Context, rec audit.Record, head audit.Head) {
	c, ok := b.bars.get(head.Subject)
	if !ok {
		return
	}
	e, err := rec.Event()
	counted := false
	if err == nil {
		counted, err = c.Apply(e, rec.Position)
	}
	if err != nil {
		b.strange(ctx, rec, err)
		return
	}
	if counted {
		if !c.Reconciled.Happened {
			b.repeats.free(c.ID)
		}
		b.bars.lift(c.ID)
	}
}

// lifted waits until a finding that was written is folded, so that whoever is told of it can call again.
func (b *Broker) lifted(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		stands, changed := b.bars.standing(id)
		if !stands {
			return
		}
		select {
		case <-changed:
		case <-b.live.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}
