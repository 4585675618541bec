package broker

import (
	"context"
	"slices"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
)

// MaxTask is the longest time for which a task can be asked for.
const MaxTask = keepFor

// Task is a call whose caller asked to fetch its outcome later: a task of MCP. Its id is that
// of the call. It is its caller's alone, at any replica, until its time is over.
type Task struct {
	CallID  string
	Made    time.Time
	Updated time.Time
	Until   time.Time
	Pending *Pending   // while it is held or running
	Ended   audit.Type // its closing event; empty while it is pending
	Code    string     // of its end, of those of audit.Outcome
	Reason  string
	Tool    string
}

func taskOf(c calls.Call) Task {
	t := Task{CallID: c.ID, Tool: c.Intent.Tool, Made: c.Opening.Time, Updated: c.Opening.Time, Until: c.Intent.TaskUntil}
	if c.Releasing.ID != "" {
		t.Updated = c.Releasing.Time
	}
	if c.Open() {
		p := pending(c)
		t.Pending = &p
		return t
	}
	t.Updated, t.Ended, t.Code, t.Reason = c.Closing.Time, c.Closing.Type, c.Outcome.Code, c.Outcome.Reason
	return t
}

// Task is one of the caller's tasks; NotFound if there is none of that id.
func (b *Broker) Task(ctx context.Context, id *agents.Identity, callID string) (Task, error) {
	_, c, err := b.task(ctx, "get task "+clip(callID, 64), id, callID)
	if err != nil {
		return Task{}, err
	}
	return taskOf(c), nil
}

func (b *Broker) task(ctx context.Context, op string, id *agents.Identity, callID string) (*hold, calls.Call, error) {
	if err := b.admit(ctx, op, id); err != nil {
		return nil, calls.Call{}, err
	}
	if err := b.barredFrom(op, id); err != nil {
		return nil, calls.Call{}, err
	}
	h := b.repeats.get(callID)
	foreign := h != nil && h.caller != id.Key()
	if foreign {
		b.Reject(ctx, agents.Foreign(id))
	}
	if h != nil && !foreign {
		if c, _ := h.snapshot(); c.Intent.TaskUntil.After(time.Now()) {
			return h, c, nil
		}
	}
	return nil, calls.Call{}, &Error{Kind: NotFound, Op: op, Public: "no task of yours has this id, or its time is over"}
}

// Tasks lists the caller's tasks, the latest first: at most n, those made before the one that
// before names. Next names the last if there are more.
func (b *Broker) Tasks(ctx context.Context, id *agents.Identity, before string, n int) (list []Task, next string, _ error) {
	op := "list tasks"
	if err := b.admit(ctx, op, id); err != nil {
		return nil, "", err
	}
	if err := b.barredFrom(op, id); err != nil {
		return nil, "", err
	}
	now := time.Now()
	for _, h := range b.repeats.tasksOf(id.Key()) {
		c, _ := h.snapshot()
		if before != "" && h.id >= before || !c.Intent.TaskUntil.After(now) {
			continue
		}
		if len(list) == n {
			return list, list[n-1].CallID, nil
		}
		list = append(list, taskOf(c))
	}
	return list, "", nil
}

// CancelTask withdraws a task that is held, and has the tool of one stop that runs here. It
// says what the task has come to.
func (b *Broker) CancelTask(ctx context.Context, id *agents.Identity, callID string) (Task, error) {
	op := "cancel task " + clip(callID, 64)
	h, c, err := b.task(ctx, op, id, callID)
	if err != nil {
		return Task{}, err
	}
	switch {
	case !c.Open():
		return Task{}, &Error{Kind: Invalid, Op: op, CallID: c.ID, Public: "the task has ended"}
	case c.State == calls.Held:
		if c, err = b.Cancel(ctx, id, callID, ErrCancelled.Error()); err != nil {
			return Task{}, err
		}
	case !b.executions.end(callID, ErrCancelled):
		return Task{}, &Error{Kind: Conflict, Op: op, CallID: c.ID, Public: "the task runs at another replica, and goes on"}
	}
	return taskOf(b.closed(ctx, h)), nil
}

// closed waits for the end of a call that was told to stop, for a moment.
func (b *Broker) closed(ctx context.Context, h *hold) calls.Call {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.AckWait)
	defer cancel()
	for {
		c, changed := h.snapshot()
		if !c.Open() {
			return c
		}
		select {
		case <-changed:
		case <-b.live.Done():
			return c
		case <-ctx.Done():
			return c
		}
	}
}

// begun tells a request that its call is on record, and can be found.
func (b *Broker) begun(c *call) {
	if c.req.Begun == nil {
		return
	}
	born := b.repeats.birth(c.id)
	b.work.Go(func() {
		select {
		case <-born:
			c.req.Begun(c.id)
		case <-b.live.Done():
		}
	})
}

// findable waits until a held task can be asked for by its id.
func (b *Broker) findable(ctx context.Context, c *call) {
	if c.intent.TaskUntil.IsZero() {
		return
	}
	select {
	case <-b.repeats.birth(c.id):
	case <-ctx.Done():
	case <-b.flights.stopping:
	case <-b.live.Done():
	}
}

// birth is closed once a call that is kept can be found.
func (r *repeats) birth(id string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.byID[id]; k != nil {
		return k.born
	}
	return nil // it ended sooner, which its outcome tells
}

// tasksOf are the tasks of a caller, the latest first.
func (r *repeats) tasksOf(caller string) []*hold {
	r.mu.Lock()
	defer r.mu.Unlock()
	tasks := make([]*hold, 0, len(r.tasks[caller]))
	for _, k := range r.tasks[caller] {
		tasks = append(tasks, k.hold)
	}
	slices.SortFunc(tasks, func(a, b *hold) int {
		if a.id > b.id {
			return -1
		}
		return 1
	})
	return tasks
}

// end has the tool of a call stop that runs here; false if it does not.
func (x *executions) end(id string, cause error) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	one, ok := x.byID[id]
	if ok {
		one.stop(cause)
	}
	return ok
}
