package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/tools"
)

// Once says of a tool's calls how repeats are recognised, and how its upstream is told
// of idempotency keys.
type Once struct {
	// Field is the argument that takes an idempotency key. It is filled in where a call
	// has a key and leaves it out, and is the key of a call that fills it in itself.
	Field string
	// Within is for how long a call without a key means an earlier one of the same
	// caller with the same arguments; 0: never.
	Within time.Duration
}

// maxKey bounds an idempotency key, in bytes.
const maxKey = 128

// once is what is configured for a tool, or for all of its upstream.
func (b *Broker) once(t *tools.Tool) Once {
	if o, ok := b.cfg.Once[t.Name()]; ok {
		return o
	}
	return b.cfg.Once[tools.QualifiedName(t.Upstream, "*")]
}

// upstreamKey is what an upstream is told as a call's idempotency key. The upstream takes
// all calls for the broker's: two callers who choose the same key must not meet there.
func upstreamKey(in audit.Intent) string {
	if in.IdempotencyKey == "" {
		return ""
	}
	return uuid.NewHash(sha256.New(), uuid.Nil, []byte(likeOf(in)), 8).String()
}

// keyed has the arguments of a call carry its key where its tool has a field for it: before
// anything is decided, so that what is decided on is what runs.
func (b *Broker) keyed(c *call) error {
	field := b.once(c.tool).Field
	if field == "" {
		return nil
	}
	if given, ok := c.args.Value[field]; ok {
		if key, ok := given.(string); ok && c.intent.IdempotencyKey == "" && key != "" && len(key) <= maxKey {
			c.intent.IdempotencyKey = key
		}
		return nil
	}
	if c.intent.IdempotencyKey == "" {
		return nil
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(c.args.Canonical, &members); err != nil {
		return err
	}
	key, err := json.Marshal(upstreamKey(c.intent))
	if err != nil {
		return err
	}
	members[field] = key
	with, err := jsonv2.Marshal(members, jsonv2.Deterministic(true))
	if err == nil {
		c.args, err = tools.ParseArguments(with)
	}
	return err
}

// repeated finds the call that a request means again; nil if it is a call of its own.
func (b *Broker) repeated(ctx context.Context, c *call) (*hold, *refusal) {
	within := b.once(c.tool).Within
	if c.intent.IdempotencyKey == "" && within == 0 {
		return b.same(ctx, c), nil
	}
	wanted := fingerprint(sha256.Sum256(c.args.Canonical))
	for {
		k, known, equal := b.repeats.claim(c.id, c.intent, wanted, time.Now().Add(-within))
		switch {
		case k == nil:
			return nil, nil
		case known && !equal:
			return nil, &refusal{
				kind: Conflict, code: audit.CodeKeyReused,
				public: "the idempotency key was used before, by call " + k.id + " with other arguments; repeat those, or use another key for another call",
			}
		}
		select {
		case <-k.born:
		case <-ctx.Done():
			return nil, unfinished(context.Cause(ctx))
		case <-b.flights.stopping:
			return nil, unfinished(errStopping)
		}
		h := b.repeats.get(k.id)
		if h == nil { // nothing became of it
			continue
		}
		if known {
			return h, nil
		}
		if r := b.readPrint(ctx, k, h); r != nil {
			return nil, r
		}
	}
}

func unfinished(cause error) *refusal {
	return &refusal{
		kind: Overloaded, code: audit.CodeOverloaded, err: cause,
		public: "the call that this one repeats is still being recorded, and nothing more was done; call again",
	}
}

// readPrint finds out which arguments a call has that another replica took, or that was made before a restart.
func (b *Broker) readPrint(ctx context.Context, k *kept, h *hold) *refusal {
	c, _ := h.snapshot()
	args, err := b.made(ctx, c)
	switch {
	case errors.Is(err, audit.ErrErased) && c.Intent.IdempotencyKey != "":
		return &refusal{
			kind: Conflict, code: audit.CodeKeyReused, err: err,
			public: "the idempotency key was used before, by call " + k.id + ", whose arguments are not known any more; use another key",
		}
	case errors.Is(err, audit.ErrErased):
		b.repeats.free(k.id)
		return nil
	case err != nil:
		return unreadable(k.id, err)
	}
	b.repeats.printed(k, sha256.Sum256(args))
	return nil
}

func unreadable(callID string, err error) *refusal {
	return &refusal{
		kind: LogUnavailable, code: audit.CodeOverloaded, err: err,
		public: "the record of an earlier call, " + callID + ", cannot be read now, so that it is not known whether this one repeats it; nothing was done, calling again is safe",
	}
}

// Marks that stand in the intents of calls that can be meant again, and in hardly any others.
var (
	keyMark  = []byte(`"idempotency_key":"`)
	taskMark = []byte(`"task_until":"`)
)

// repeatable reports whether an intent can be meant again, and whether by its likeness.
func (b *Broker) repeatable(stored []byte) (kept, byName bool) {
	byName = bytes.Contains(stored, keyMark)
	for tool, o := range b.cfg.Once {
		if !byName && o.Within > 0 {
			byName = bytes.Contains(stored, []byte(`"tool":"`+strings.TrimSuffix(tool, "*")))
		}
	}
	return byName || bytes.Contains(stored, taskMark), byName
}

// meetRepeatable keeps an intent that can be meant again, and notes one that is running.
func (b *Broker) meetRepeatable(ctx context.Context, rec audit.Record, head audit.Head) {
	h := b.holds.get(head.Subject)
	kept, byName := b.repeatable(rec.Stored)
	if !kept && !b.repeats.claimed(head.Subject) {
		if h == nil {
			b.bars.begin(&opened{intent: rec, head: head, plain: true})
		}
		return
	}
	if h == nil {
		e, err := rec.Event()
		var c calls.Call
		if err == nil {
			_, err = c.Apply(e, rec.Position)
		}
		if err != nil {
			b.strange(ctx, rec, err)
			return
		}
		h = newHold(c, atHand{})
	}
	b.repeats.bear(h, byName)
}

// restoreRepeat keeps a call of the past that can be meant again.
func (b *Broker) restoreRepeat(c *calls.Call) {
	h := b.holds.get(c.ID)
	if h == nil {
		h = newHold(*c, atHand{})
	}
	b.repeats.bear(h, c.Intent.IdempotencyKey != "" || b.within(c.Intent.Tool) > 0)
	if !c.Open() {
		b.repeats.end(*c)
	}
}

// within is Once.Within of a tool by its name.
func (b *Broker) within(tool string) time.Duration {
	if o, ok := b.cfg.Once[tool]; ok {
		return o.Within
	}
	upstream, _, _ := strings.Cut(tool, ".")
	return b.cfg.Once[tools.QualifiedName(upstream, "*")].Within
}

// tracked is a call whose events are folded as they come; nil if it is not one.
func (b *Broker) tracked(id string) *hold {
	if h := b.holds.get(id); h != nil {
		return h
	}
	return b.repeats.get(id)
}
