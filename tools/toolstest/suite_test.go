package toolstest_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

func TestFakeKeepsTheContract(t *testing.T) {
	t.Parallel()
	toolstest.Run(t, func(*testing.T) toolstest.Subject {
		return toolstest.Subject{
			Upstream: toolstest.NewFake(),
			Succeeds: toolstest.Case{Tool: toolstest.Echo, Arguments: `{"text":"hello"}`, Want: `"text":"hello"`},
			Fails:    &toolstest.Case{Tool: toolstest.Fail, Arguments: `{}`, Want: "did not work"},
			Refuses:  &toolstest.Case{Tool: toolstest.Refuse, Arguments: `{}`},
			Hangs:    &toolstest.Case{Tool: toolstest.Hang, Arguments: `{}`},
		}
	})
}

func TestCrashMakesRunningCallsUncertain(t *testing.T) {
	t.Parallel()
	f := toolstest.NewFake()
	reached := make(chan struct{})
	f.Handle(toolstest.Define("wait", `{}`), func(ctx context.Context, _ tools.Call) (tools.Answer, error) {
		close(reached)
		<-ctx.Done()
		return tools.Answer{}, ctx.Err()
	})
	crash := errors.New("out of memory")
	ran := make(chan error, 1)
	healthy := make(chan struct{}, 8)
	go func() { ran <- f.Run(t.Context(), func() { healthy <- struct{}{} }) }()
	<-healthy
	called := make(chan error, 1)
	go func() {
		_, err := f.Call(t.Context(), tools.Call{Tool: "wait", Arguments: json.RawMessage(`{}`)})
		called <- err
	}()
	<-reached
	f.Crash(crash)
	if err := <-called; !errors.Is(err, tools.ErrUncertain) {
		t.Errorf("call: %v, want tools.ErrUncertain", err)
	}
	if err := <-ran; !errors.Is(err, crash) {
		t.Errorf("Run: %v, want %v", err, crash)
	}
	if _, err := f.Call(t.Context(), tools.Call{Tool: toolstest.Echo}); !errors.Is(err, tools.ErrNotSent) {
		t.Errorf("call of a stopped upstream: %v, want tools.ErrNotSent", err)
	}
}
