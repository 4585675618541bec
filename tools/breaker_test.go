package tools_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// single is a registry with one upstream, and its tool.
func single(t *testing.T, f *toolstest.Fake, o tools.Options, tool string) (*tools.Registry, *tools.Tool) {
	t.Helper()
	r := tools.NewRegistry(tools.RegistryOptions{})
	if err := r.Add("up", "work", f, o); err != nil {
		t.Fatal(err)
	}
	run(t, r)
	if err := r.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	found, err := r.Lookup("up." + tool)
	if err != nil {
		t.Fatal(err)
	}
	return r, found
}

func TestUpstreamThatKeepsFailingIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		var broken atomic.Bool
		var sent atomic.Int64
		f.Handle(toolstest.Define("work", `{}`), func(context.Context, tools.Call) (tools.Answer, error) {
			sent.Add(1)
			if broken.Load() {
				return tools.Answer{}, tools.ErrUncertain
			}
			return toolstest.Text("done"), nil
		})
		r, tool := single(t, f, tools.Options{Breaker: tools.Breaker{Failures: 3, Cooldown: 10 * time.Second}}, "work")
		call := func() error {
			_, err := tool.Call(t.Context(), tools.Call{Arguments: json.RawMessage(`{}`)})
			return err
		}
		broken.Store(true)
		for range 3 {
			if err := call(); !errors.Is(err, tools.ErrUncertain) {
				t.Fatalf("a failing call: %v", err)
			}
		}
		err := call()
		if tripped, ok := errors.AsType[*tools.TrippedError](err); !ok || !errors.Is(err, tools.ErrNotSent) || tripped.Retry <= 0 || sent.Load() != 3 {
			t.Errorf("after 3 failures: %v, %d sent; want a TrippedError and 3", err, sent.Load())
		}
		tripped := time.Now()
		time.Sleep(time.Second) // nobody looks meanwhile
		if s := r.Status()[0]; s.State != tools.StateTripped || s.Err == nil || !s.Since.Equal(tripped) {
			t.Errorf("status: %+v, want it to be so since %v", s, tripped)
		}
		time.Sleep(10 * time.Second)
		if err := call(); !errors.Is(err, tools.ErrUncertain) || sent.Load() != 4 {
			t.Errorf("the call that tries: %v, %d sent", err, sent.Load())
		}
		if err := call(); sent.Load() != 4 {
			t.Errorf("a call was sent after the one that tried failed: %v", err)
		}
		broken.Store(false)
		time.Sleep(11 * time.Second)
		for range 3 {
			if err := call(); err != nil {
				t.Errorf("it works again: %v", err)
			}
		}
		if s := r.Status()[0]; s.State != tools.StateClosed || s.Err != nil {
			t.Errorf("status: %+v", s)
		}
	})
}

// TestWhatAnUpstreamSaysIsNoFailure lets tools fail, refuse and be cancelled: the upstream works.
func TestWhatAnUpstreamSaysIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := single(t, toolstest.NewFake(), tools.Options{Breaker: tools.Breaker{Failures: 1}}, "fail")
		for _, name := range []string{"up.fail", "up.refuse"} {
			tool, err := r.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = tool.Call(t.Context(), tools.Call{Arguments: json.RawMessage(`{}`)}) // it fails, in words
		}
		hang, err := r.Lookup("up.hang")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, _ = hang.Call(ctx, tools.Call{Arguments: json.RawMessage(`{}`)}) // its caller goes
		if s := r.Status()[0]; s.State != tools.StateClosed {
			t.Errorf("the upstream is %s", s.State)
		}
	})
}

func TestLimitsOfOneTool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		var now, most atomic.Int64
		f.Handle(toolstest.Define("one", `{}`), func(ctx context.Context, _ tools.Call) (tools.Answer, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			<-ctx.Done()
			return tools.Answer{}, ctx.Err()
		})
		_, tool := single(t, f, tools.Options{Tools: map[string]tools.ToolOptions{"one": {Timeout: 2 * time.Second, Concurrency: 1}}}, "one")
		errs := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := tool.Call(t.Context(), tools.Call{Arguments: json.RawMessage(`{}`)})
				errs <- err
			}()
		}
		busy := 0
		for range 3 {
			err := <-errs
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want its own time limit", err)
			}
			if errors.Is(err, tools.ErrBusy) {
				busy++
			}
		}
		if most.Load() != 1 || busy < 1 {
			t.Errorf("%d at once, %d never began; want 1 at once", most.Load(), busy)
		}
	})
}

func TestAnswersThatBreakTheirSchema(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		say := ""
		f.Handle(json.RawMessage(`{"name":"sum","inputSchema":{"type":"object"},"outputSchema":{"type":"object","properties":{"sum":{"type":"integer"}},"required":["sum"]}}`),
			func(context.Context, tools.Call) (tools.Answer, error) {
				return tools.Answer{Raw: json.RawMessage(say), IsError: strings.Contains(say, `"isError":true`)}, nil
			})
		_, tool := single(t, f, tools.Options{}, "sum")
		for answer, fits := range map[string]bool{
			`{"content":[],"structuredContent":{"sum":3}}`: true,
			`{"content":[]}`: true, // nothing is promised of text
			`{"content":[],"structuredContent":{"sum":"x"},"isError":true}`: true,
			`{"content":[],"structuredContent":{"sum":"s3cr3t"}}`:           false,
			`{"content":[],"structuredContent":{}}`:                         false,
			`{"content":[],"structuredContent":[3]}`:                        false,
		} {
			say = answer
			_, err := tool.Call(t.Context(), tools.Call{Arguments: json.RawMessage(`{}`)})
			mismatch, ok := errors.AsType[*tools.MismatchError](err)
			if ok == fits || err != nil && (!ok || string(mismatch.Answer.Raw) != answer || strings.Contains(err.Error(), "s3cr3t")) {
				t.Errorf("%s: %v, fits %t", answer, err, fits)
			}
		}
	})
}
