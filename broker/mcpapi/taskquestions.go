package mcpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/tools"
)

// What a tool asks in the middle of a task waits until its client comes for it: in revision 2025-11-25
// it is asked on the stream of tasks/result, since 2026-07-28 tasks/get has it and tasks/update brings the
// answer. It is known to the replica that runs the call.

// taskQuestions are those that are open, by call.
type taskQuestions struct {
	mu     sync.Mutex
	last   int                        // the number of the latest; guarded by mu
	open   map[string][]*taskQuestion // guarded by mu
	opened chan struct{}              // closed and replaced with each that is opened; guarded by mu
}

// taskQuestion is what a tool asks at once: some questions by its own keys.
type taskQuestion struct {
	prefix string // of the keys that its client gets to know, so that no key comes twice
	text   json.RawMessage
	asking bool                      // on some stream; guarded by taskQuestions.mu
	given  map[string]jsontext.Value // answers so far; guarded by taskQuestions.mu
	wanted int                       // how many there have to be
	done   chan taskAnswer           // has room for one
}

type taskAnswer struct {
	answers json.RawMessage
	err     error
}

func newTaskQuestions() *taskQuestions {
	return &taskQuestions{open: map[string][]*taskQuestion{}, opened: make(chan struct{})}
}

// ask waits until the client of a task has answered.
func (q *taskQuestions) ask(ctx context.Context, callID string, questions json.RawMessage, patience time.Duration) (json.RawMessage, error) {
	var each map[string]jsontext.Value
	if err := jsonv2.Unmarshal(questions, &each); err != nil {
		return nil, errNotAnswered
	}
	one := &taskQuestion{text: bytes.Clone(questions), given: map[string]jsontext.Value{}, wanted: len(each), done: make(chan taskAnswer, 1)}
	if !q.begin(callID, one) {
		return nil, errTooMany
	}
	defer q.end(callID, one)
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case a := <-one.done:
		return a.answers, a.err
	case <-limit.C:
		return nil, errNotAnswered
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (q *taskQuestions) begin(callID string, one *taskQuestion) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.open[callID]) >= maxQuestions {
		return false
	}
	q.last++
	one.prefix = strconv.Itoa(q.last) + "."
	q.open[callID] = append(q.open[callID], one)
	close(q.opened)
	q.opened = make(chan struct{})
	return true
}

func (q *taskQuestions) end(callID string, one *taskQuestion) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var others []*taskQuestion
	for _, other := range q.open[callID] {
		if other != one {
			others = append(others, other)
		}
	}
	if q.open[callID] = others; len(others) == 0 {
		delete(q.open, callID)
	}
}

// any reports whether a task's tool waits for an answer.
func (q *taskQuestions) any(callID string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.open[callID]) > 0
}

// next waits for a question that nobody is asked; nil when ctx is done. Give it back, or answer it.
func (q *taskQuestions) next(ctx context.Context, callID string) *taskQuestion {
	for {
		q.mu.Lock()
		opened := q.opened
		for _, one := range q.open[callID] {
			if !one.asking {
				one.asking = true
				q.mu.Unlock()
				return one
			}
		}
		q.mu.Unlock()
		select {
		case <-opened:
		case <-ctx.Done():
			return nil
		}
	}
}

func (q *taskQuestions) giveBack(one *taskQuestion) {
	q.mu.Lock()
	defer q.mu.Unlock()
	one.asking = false
	close(q.opened)
	q.opened = make(chan struct{})
}

// requests are a task's open questions as inputRequests.
func (q *taskQuestions) requests(callID string) []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := []byte{'{'}
	for _, one := range q.open[callID] {
		r := newReader(one.text)
		_ = r.members(nil, func(key string) error { // it was read when it was asked
			question, err := r.value()
			if err != nil {
				return err
			}
			if _, answered := one.given[key]; answered {
				return nil
			}
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = append(append(appendText(b, one.prefix+key), ':'), question...)
			return nil
		})
	}
	return append(b, '}')
}

// answer takes a client's inputResponses; those to what was not asked are ignored.
func (q *taskQuestions) answer(callID string, responses jsontext.Value) {
	var given map[string]jsontext.Value
	if err := jsonv2.Unmarshal(responses, &given); err != nil {
		return // checkAnswers has read it
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, one := range q.open[callID] {
		var asked map[string]jsontext.Value
		if err := jsonv2.Unmarshal(one.text, &asked); err != nil {
			continue // it was read when it was asked
		}
		for key := range asked {
			if a, ok := given[one.prefix+key]; ok {
				one.given[key] = bytes.Clone(a)
			}
		}
		if len(one.given) < one.wanted {
			continue
		}
		if all, err := json.Marshal(one.given); err == nil {
			one.finish(all, nil)
		}
	}
}

func (one *taskQuestion) finish(answers json.RawMessage, err error) {
	select {
	case one.done <- taskAnswer{answers, err}:
	default: // it has been answered
	}
}

// askOfTask asks the client of a task what its tool asks, on the stream of tasks/result, until ctx is done.
func (h *Handler) askOfTask(ctx context.Context, v *invocation, callID string) {
	for {
		one := h.taskQuestions.next(ctx, callID)
		if one == nil {
			return
		}
		answers, err := v.ask(ctx, one.text)
		_, refused := errors.AsType[*tools.RPCError](err)
		if err != nil && !refused { // the stream has ended, not the question
			h.taskQuestions.giveBack(one)
			return
		}
		one.finish(answers, err)
	}
}

// related is params with the task that they are about, as messages about one have it.
func related(params jsontext.Value, taskID string) []byte {
	meta := []byte(`"_meta":{`)
	b := []byte{'{'}
	r := newReader(params)
	err := r.members(nil, func(name string) error {
		value, err := r.value()
		if err != nil {
			return err
		}
		if name == "_meta" && value.Kind() == '{' {
			if rest := bytes.TrimSpace(value[1 : len(value)-1]); len(rest) > 0 {
				meta = append(append(meta, rest...), ',')
			}
			return nil
		}
		b = append(append(appendText(b, name), ':'), value...)
		b = append(b, ',')
		return nil
	})
	if err != nil { // params are left out
		b, meta = []byte{'{'}, []byte(`"_meta":{`)
	}
	return append(bytes.TrimSuffix(appendRelatedTask(append(b, meta...), taskID), []byte{','}), "}}"...)
}
