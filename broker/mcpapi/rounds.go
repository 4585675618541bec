package mcpapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/tools"
)

// Since revision 2026-07-28 a question ends the request that it came up in: the
// result is input_required, and the client sends the call again with the answers and
// the requestState that it was given. The call itself goes on all the while, as
// one call with one intent. Its requestState means nothing outside of this process: it
// is a random number that is good for one round, for the identity that was asked,
// and for the same call. It names the replica that asked, so that another one can say
// where an answer belongs that went astray.

var errNotAnswered = errors.New("the client has not come back with an answer")

// conversations are the calls that wait for their clients to come back.
type conversations struct {
	each    int // of one identity
	replica string

	mu     sync.Mutex
	parked map[string]*question // by requestState; guarded by mu
	count  map[string]int       // by identity; guarded by mu
}

// conversation is a call that may ask its client something.
type conversation struct {
	identity  string
	call      [sha256.Size]byte // what is called, and with which arguments
	cancel    context.CancelCauseFunc
	questions chan *question
	done      chan struct{} // closed when reply and err are there

	reply *broker.Reply
	err   error

	mu sync.Mutex
	n  *notifier // of the request that is open; guarded by mu
}

type question struct {
	of       *conversation
	state    string // guarded by conversations.mu
	text     json.RawMessage
	answered chan json.RawMessage // has room for one
}

func newConversations(each int) *conversations {
	return &conversations{each: each, parked: map[string]*question{}, count: map[string]int{}}
}

// park keeps a question until its answer is taken; the state is empty if there is no room.
func (c *conversations) park(q *question) (state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count[q.of.identity] >= c.each {
		return ""
	}
	state = c.replica + "." + rand.Text()
	q.state = state
	c.parked[state] = q
	c.count[q.of.identity]++
	return state
}

// take ends the wait of a question for the identity that was asked, about the same call.
func (c *conversations) take(state, identity string, call [sha256.Size]byte) (q *question, foreign bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q = c.parked[state]
	if q == nil || q.of.identity != identity || q.of.call != call {
		return nil, q != nil && q.of.identity != identity
	}
	c.remove(state, q)
	return q, false
}

// drop forgets a question that was not answered.
func (c *conversations) drop(q *question) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.state != "" && c.parked[q.state] == q {
		c.remove(q.state, q)
	}
}

// remove must be called with mu held.
func (c *conversations) remove(state string, q *question) {
	delete(c.parked, state)
	if c.count[q.of.identity]--; c.count[q.of.identity] == 0 {
		delete(c.count, q.of.identity)
	}
}

// checkAnswers finds what makes the answers of a client unusable.
func checkAnswers(m *message) *fault {
	if m.call.state != nil && m.call.state.Kind() != '"' {
		return invalidParams("params.requestState must be a string")
	}
	if m.call.responses == nil {
		return nil
	}
	var responses map[string]jsontext.Value
	if err := jsonv2.Unmarshal(m.call.responses, &responses); err != nil || m.call.responses.Kind() != '{' {
		return invalidParams("params.inputResponses must be an object")
	}
	for _, response := range responses {
		if response.Kind() != '{' {
			return invalidParams("params.inputResponses must have objects as members")
		}
	}
	return nil
}

// digest tells calls apart.
func (v *invocation) digest() [sha256.Size]byte {
	args, err := tools.ParseArguments(v.arguments)
	if err != nil { // then the broker refuses it
		args.Canonical = v.arguments
	}
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %s", v.method, v.name, args.Canonical))
}

// converse makes a call that may ask its client something.
func (h *Handler) converse(v *invocation) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(v.r.Context()))
	c := &conversation{
		identity: v.in.identity.Key(), call: v.digest(), cancel: cancel,
		questions: make(chan *question), done: make(chan struct{}), n: v.n,
	}
	req := v.request()
	req.Asking = tools.Asking{
		Ask: func(ctx context.Context, questions json.RawMessage) (json.RawMessage, error) {
			return h.ask(ctx, c, questions)
		},
		Capabilities: append([]byte(nil), v.m.meta.capabilities...),
		Answers:      append([]byte(nil), v.m.call.responses...),
	}
	if req.Notify != nil {
		req.Notify = c.notify
	}
	if req.Waiting != nil {
		req.Waiting = c.waiting
	}
	h.work.Go(func() {
		defer close(c.done)
		ctx, stop := context.WithTimeout(ctx, h.cfg.Limits.CallTimeout)
		defer stop()
		c.reply, c.err = h.run(ctx, v, req)
	})
	h.attend(v, c)
}

// resume brings a client's answers to the call that asked for them.
func (h *Handler) resume(v *invocation) {
	var state string
	if err := jsonv2.Unmarshal(v.m.call.state, &state); err != nil {
		state = ""
	}
	if h.returnToHeld(v, state) {
		return
	}
	q, foreign := h.conversations.take(state, v.in.identity.Key(), v.digest())
	if foreign {
		h.cfg.Reject(context.WithoutCancel(v.r.Context()), agents.Foreign(v.in.identity))
	}
	if q == nil {
		h.refuse(v.w, http.StatusBadRequest, v.m, invalidParams(h.astray(state)))
		return
	}
	q.of.mu.Lock()
	q.of.n = v.n
	q.of.mu.Unlock()
	responses := v.m.call.responses
	if responses == nil {
		responses = jsontext.Value("{}")
	}
	q.answered <- json.RawMessage(responses)
	h.attend(v, q.of)
}

// astray says why a requestState does not continue a call here.
func (h *Handler) astray(state string) string {
	replica, _, named := strings.Cut(state, ".")
	if named && replica != h.conversations.replica && replica+"." != heldPrefix && len(replica) <= maxText {
		return "the call that asks is at the broker's replica " + strconv.Quote(replica) + ", and this is " + strconv.Quote(h.conversations.replica) +
			": an answer has to reach the replica that asked (route a client's requests to one of them), or make the call anew, without requestState"
	}
	return "params.requestState is not one that this call is waiting with; make the call anew, without it"
}

// attend answers a request with what its call came to, or with what it asks.
func (h *Handler) attend(v *invocation, c *conversation) {
	select {
	case <-c.done:
	case q := <-c.questions:
		if state := h.conversations.park(q); state != "" {
			v.out.finish(http.StatusOK, success(v.m.id, h.inputRequired(q.text, state)))
			return
		}
		c.cancel(broker.ErrCancelled)
		<-c.done
	case <-v.r.Context().Done():
		c.cancel(broker.ErrLeft)
		<-c.done
	}
	c.cancel(nil)
	h.finish(v.r.Context(), v, c.reply, c.err)
}

// ask waits until a client has come back with answers.
func (h *Handler) ask(ctx context.Context, c *conversation, questions json.RawMessage) (json.RawMessage, error) {
	q := &question{of: c, text: questions, answered: make(chan json.RawMessage, 1)}
	limit := time.NewTimer(h.cfg.Limits.AnswerTimeout)
	defer limit.Stop()
	defer h.conversations.drop(q)
	asked := c.questions
	for {
		select {
		case asked <- q:
			asked = nil
		case answers := <-q.answered:
			return answers, nil
		case <-limit.C:
			return nil, errNotAnswered
		case <-c.done: // the call goes on as a task
			if c.reply == nil {
				return nil, errNotAnswered
			}
			return h.taskQuestions.ask(ctx, c.reply.CallID, questions, h.cfg.Limits.AnswerTimeout)
		case <-h.ended.Done():
			return nil, errNotAnswered
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// inputRequired is the result that asks a client.
func (h *Handler) inputRequired(questions json.RawMessage, state string) []byte {
	b := append(make([]byte, 0, len(questions)+256), `{"resultType":"input_required","inputRequests":`...)
	b = append(append(b, questions...), `,"requestState":`...)
	b = append(appendText(b, state), `,"_meta":{`...)
	return append(h.appendServerInfo(b), "}}"...)
}

func (c *conversation) notifier() *notifier {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func (c *conversation) notify(method string, params json.RawMessage) {
	c.notifier().notify(method, params)
}

func (c *conversation) waiting(p broker.Pending) { c.notifier().waiting(p) }
