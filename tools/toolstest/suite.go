package toolstest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/tools"
)

const patience = 20 * time.Second

// Case is one call to make of an upstream.
type Case struct {
	Tool      string
	Arguments string // a JSON object
	Want      string // part of the answer, as raw JSON
}

// Subject is an upstream that keeps the contract, if the suite finds that it does.
// Cases that are nil cannot be provoked in it.
type Subject struct {
	Upstream tools.Upstream // not running yet

	Succeeds Case
	Fails    *Case // the tool's own error: isError
	Refuses  *Case // a JSON-RPC error
	Hangs    *Case // no answer unless the call ends
}

// Run checks the upstreams that open returns against the contract of [tools.Upstream].
func Run(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	t.Run("lists definitions that can be read", func(t *testing.T) { lists(t, open(t)) })
	t.Run("answers", func(t *testing.T) { answers(t, open(t)) })
	t.Run("answers many at once", func(t *testing.T) { concurrent(t, open(t)) })
	t.Run("tells errors apart", func(t *testing.T) { failures(t, open(t)) })
	t.Run("a call whose context has ended is not sent", func(t *testing.T) { ended(t, open(t)) })
	t.Run("a cancelled call is uncertain", func(t *testing.T) { cancelled(t, open(t)) })
	t.Run("runs again after it stopped", func(t *testing.T) { again(t, open(t)) })
}

// Start runs an upstream until the test ends, and waits until it is healthy.
func Start(t *testing.T, u tools.Upstream) {
	t.Helper()
	stop := start(t, u)
	t.Cleanup(stop)
}

func start(t *testing.T, u tools.Upstream) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	signal := make(chan struct{}, 1)
	finished := make(chan error, 1)
	go func() {
		finished <- u.Run(ctx, func() {
			select {
			case signal <- struct{}{}:
			default:
			}
		})
	}()
	stop = func() {
		cancel()
		select {
		case err := <-finished:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Run returned %v after its context ended", err)
			}
		case <-time.After(patience):
			t.Error("Run did not return after its context ended")
		}
	}
	deadline := time.After(patience)
	for {
		if u.Health() == nil {
			return stop
		}
		select {
		case <-signal:
		case <-time.After(10 * time.Millisecond): // an upstream need not signal its first health
		case err := <-finished:
			cancel()
			t.Fatalf("Run returned %v before the upstream was healthy", err)
		case <-deadline:
			cancel()
			t.Fatalf("the upstream is not healthy: %v", u.Health())
		}
	}
}

func (c Case) call(ctx context.Context, u tools.Upstream) (tools.Answer, error) {
	return u.Call(ctx, tools.Call{ID: newID(), Tool: c.Tool, Arguments: json.RawMessage(c.Arguments)})
}

func lists(t *testing.T, s Subject) {
	t.Helper()
	Start(t, s.Upstream)
	raws, err := s.Upstream.Definitions(t.Context())
	if err != nil {
		t.Fatalf("Definitions: %v", err)
	}
	if len(raws) == 0 {
		t.Fatal("no definitions")
	}
	names := map[string]bool{}
	for _, raw := range raws {
		d, err := tools.ParseDefinition(raw)
		if err != nil {
			t.Errorf("definition %s: %v", raw, err)
			continue
		}
		if names[d.Name] {
			t.Errorf("%s is listed twice", d.Name)
		}
		names[d.Name] = true
	}
	if !names[s.Succeeds.Tool] {
		t.Errorf("%s is not listed", s.Succeeds.Tool)
	}
}

func answers(t *testing.T, s Subject) {
	t.Helper()
	Start(t, s.Upstream)
	a, err := s.Succeeds.call(t.Context(), s.Upstream)
	checkAnswer(t, s.Succeeds, a, err, false)
	if s.Fails != nil {
		a, err := s.Fails.call(t.Context(), s.Upstream)
		checkAnswer(t, *s.Fails, a, err, true)
	}
}

func checkAnswer(t *testing.T, c Case, a tools.Answer, err error, isError bool) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", c.Tool, err)
		return
	}
	if a.IsError != isError {
		t.Errorf("%s: IsError = %v, want %v: %s", c.Tool, a.IsError, isError, a.Raw)
	}
	var result struct {
		Content []json.RawMessage `json:"content"`
		IsError bool              `json:"isError"`
	}
	if err := json.Unmarshal(a.Raw, &result); err != nil || result.Content == nil || result.IsError != isError {
		t.Errorf("%s: not a CallToolResult with isError %v: %s (%v)", c.Tool, isError, a.Raw, err)
	}
	if !strings.Contains(string(a.Raw), c.Want) {
		t.Errorf("%s answered %s, want it to contain %s", c.Tool, a.Raw, c.Want)
	}
}

func concurrent(t *testing.T, s Subject) {
	t.Helper()
	Start(t, s.Upstream)
	const calls = 32
	errs := make(chan error, calls)
	for range calls {
		go func() {
			a, err := s.Succeeds.call(t.Context(), s.Upstream)
			if err == nil && !strings.Contains(string(a.Raw), s.Succeeds.Want) {
				err = errors.New("another answer: " + string(a.Raw))
			}
			errs <- err
		}()
	}
	for range calls {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func failures(t *testing.T, s Subject) {
	t.Helper()
	Start(t, s.Upstream)
	unknown := Case{Tool: "no-such-tool-here", Arguments: "{}"}
	a, err := unknown.call(t.Context(), s.Upstream)
	if _, ok := errors.AsType[*tools.RPCError](err); !ok && !a.IsError {
		t.Errorf("an unknown tool: %s, %v; want a *tools.RPCError or an answer that is an error", a.Raw, err)
	}
	if s.Refuses != nil {
		_, err := s.Refuses.call(t.Context(), s.Upstream)
		if _, ok := errors.AsType[*tools.RPCError](err); !ok {
			t.Errorf("%s: error %v, want a *tools.RPCError", s.Refuses.Tool, err)
		}
	}
	a, err = s.Succeeds.call(t.Context(), s.Upstream)
	checkAnswer(t, s.Succeeds, a, err, false)
}

func ended(t *testing.T, s Subject) {
	t.Helper()
	Start(t, s.Upstream)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Succeeds.call(ctx, s.Upstream)
	if !errors.Is(err, tools.ErrNotSent) {
		t.Errorf("error %v, want tools.ErrNotSent", err)
	}
}

func cancelled(t *testing.T, s Subject) {
	t.Helper()
	if s.Hangs == nil {
		t.Skip("this upstream has no tool that waits")
	}
	Start(t, s.Upstream)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := s.Hangs.call(ctx, s.Upstream)
	if !errors.Is(err, tools.ErrUncertain) {
		t.Errorf("error %v, want tools.ErrUncertain", err)
	}
	if errors.Is(err, tools.ErrNotSent) {
		t.Errorf("error %v is tools.ErrNotSent too", err)
	}
	a, err := s.Succeeds.call(t.Context(), s.Upstream)
	checkAnswer(t, s.Succeeds, a, err, false)
}

func again(t *testing.T, s Subject) {
	t.Helper()
	stop := start(t, s.Upstream)
	stop()
	Start(t, s.Upstream)
	a, err := s.Succeeds.call(t.Context(), s.Upstream)
	checkAnswer(t, s.Succeeds, a, err, false)
}
