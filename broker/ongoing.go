package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/ongoing"
	"github.com/deedbroker/deed/tools"
)

// Tasks keeps which running calls upstreams work on as tasks; *ongoing.Store is one.
type Tasks interface {
	// Put keeps the task of a call. It is durable when Put returns.
	Put(callID string, t ongoing.Task) error
	// Remove forgets it. There need be none.
	Remove(callID string) error
	// All are those that are kept, by call; an error does not speak of these.
	All() (map[string]ongoing.Task, error)
}

// keepTask makes what a running call has become durable, so that it can be followed after a
// restart. If that fails the call goes on, and a restart leaves it unknown.
func (b *Broker) keepTask(ctx context.Context, callID string, handle json.RawMessage, kept *atomic.Bool) {
	if b.cfg.Tasks == nil {
		return
	}
	if err := b.cfg.Tasks.Put(callID, ongoing.Task{Handle: handle, Made: time.Now()}); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "task of a call not kept", slog.String("call_id", callID), slog.Any("error", err))
		return
	}
	kept.Store(true)
}

// forgetTask forgets the task of a call that is closed.
func (b *Broker) forgetTask(ctx context.Context, callID string) {
	if b.cfg.Tasks == nil {
		return
	}
	if err := b.cfg.Tasks.Remove(callID); err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "task of a closed call not forgotten", slog.String("call_id", callID), slog.Any("error", err))
	}
}

// outlived is what stops the run of a call when the broker stops: a task that the next broker follows is
// left alone. Among replicas another one closes the call sooner than that, and none can
// follow it.
func (b *Broker) outlived(kept *atomic.Bool) error {
	if kept.Load() && !b.shared() {
		return tools.ErrDetached
	}
	return nil
}

// taskLeft is a call whose task an earlier run of this replica was waiting for.
type taskLeft struct {
	call calls.Call
	task ongoing.Task
}

// recoverTasks reads which tasks an earlier run was waiting for.
func (b *Broker) recoverTasks(ctx context.Context) map[string]ongoing.Task {
	if b.cfg.Tasks == nil {
		return nil
	}
	all, err := b.cfg.Tasks.All()
	if err != nil {
		b.cfg.Logger.LogAttrs(ctx, slog.LevelError, "some tasks cannot be followed: their calls are unknown", slog.Any("error", err))
	}
	return all
}

// takeUp goes on with a call that a task is being made of. Its effect is barred as long, since whoever
// made the call may not know that it goes on, and it can be awaited by its id.
func (b *Broker) takeUp(ctx context.Context, c *calls.Call, t ongoing.Task) {
	if c.State != calls.Running {
		b.restore(ctx, c)
		b.metrics.held(ctx, 1)
	}
	b.restoreRepeat(c)
	b.bars.drop(c.ID)
	b.bar(*c, nil)
	b.left = append(b.left, taskLeft{*c, t})
}

// followTask waits for the end of a task that an earlier run of this replica had been waiting for, and
// records it. The tool is not run again.
func (b *Broker) followTask(ctx context.Context, l taskLeft) {
	c := l.call
	h := b.tracked(c.ID)
	r := running{id: c.ID, domain: c.Domain, intent: &c.Intent, trace: c.Opening.Trace, since: l.task.Made}
	r.intent.Statement = b.aboutCall(c).statement
	ctx = continued(ctx, c.Opening.Trace)
	t := b.toolOf(ctx, c.Intent.Tool)
	// Whoever waits for the call learns of the outcome from the log.
	_, _ = b.run(ctx, r, t, func(ctx context.Context, m tools.Call) (tools.Answer, error) {
		if t == nil {
			return tools.Answer{}, fmt.Errorf("%w: its upstream is not there any more", tools.ErrUncertain)
		}
		m.ID, m.Definition, m.TraceParent, m.Notify, m.Asking, m.Began = c.ID, c.Intent.Definition, c.Opening.Trace, h.notify, h.asking(), nil
		return t.Follow(ctx, m, l.task.Handle, l.task.Made)
	})
}

// How long a tool is waited for that no upstream has listed yet, and how often it is looked for.
const (
	awaitListing = time.Minute
	lookEvery    = 200 * time.Millisecond
)

// toolOf waits for a tool to be listed, whatever is found against it; nil if it is not.
func (b *Broker) toolOf(ctx context.Context, name string) *tools.Tool {
	ctx, stop := context.WithTimeout(ctx, awaitListing)
	defer stop()
	for {
		t, err := b.cfg.Catalogue.Lookup(name)
		if stopped, ok := errors.AsType[*tools.QuarantinedError](err); ok {
			return stopped.Tool
		}
		if err == nil {
			return t
		}
		if pause(ctx, lookEvery); ctx.Err() != nil {
			return nil
		}
	}
}

// goesOn is the answer to whoever waits for a call that the next broker follows.
func goesOn(r running, since time.Time) *Reply {
	return &Reply{CallID: r.id, Pending: &Pending{CallID: r.id, Tool: r.intent.Tool, Released: true, Waited: time.Since(since)}}
}

// leftAlone reports whether a run was left to the next broker.
func leftAlone(run context.Context, err error) bool {
	_, refused := errors.AsType[*tools.RPCError](err)
	_, mismatch := errors.AsType[*tools.MismatchError](err)
	return errors.Is(context.Cause(run), tools.ErrDetached) && !refused && !mismatch
}
