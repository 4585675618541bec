package builtin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/builtin"
	"github.com/deedbroker/deed/tools/toolstest"
)

func greet(_ context.Context, c tools.Call) (tools.Answer, error) {
	var a struct {
		Name string `json:"name"`
	}
	if err := builtin.Arguments(c, &a); err != nil {
		return tools.Answer{}, err
	}
	if a.Name == "" {
		return builtin.Failure("a name is needed"), nil
	}
	return builtin.Structured(map[string]string{"greeting": "hello " + a.Name})
}

func hang(ctx context.Context, _ tools.Call) (tools.Answer, error) {
	<-ctx.Done()
	return tools.Answer{}, fmt.Errorf("%w: %w", tools.ErrUncertain, ctx.Err())
}

func TestUpstreamKeepsTheContract(t *testing.T) {
	t.Parallel()
	toolstest.Run(t, func(t *testing.T) toolstest.Subject {
		t.Helper()
		u, err := builtin.New(
			builtin.Function{Definition: toolstest.Define("greet", `{"name":{"type":"string"}}`), Run: greet},
			builtin.Function{Definition: toolstest.Define("hang", `{}`), Run: hang},
		)
		if err != nil {
			t.Fatal(err)
		}
		return toolstest.Subject{
			Upstream: u,
			Succeeds: toolstest.Case{Tool: "greet", Arguments: `{"name":"Ada"}`, Want: `"structuredContent":{"greeting":"hello Ada"}`},
			Fails:    &toolstest.Case{Tool: "greet", Arguments: `{}`, Want: "a name is needed"},
			Refuses:  &toolstest.Case{Tool: "greet", Arguments: `{"Name":"Ada"}`},
			Hangs:    &toolstest.Case{Tool: "hang", Arguments: `{}`},
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	one := builtin.Function{Definition: toolstest.Define("greet", `{}`), Run: greet}
	for name, functions := range map[string][]builtin.Function{
		"a name twice":     {one, one},
		"no function":      {{Definition: toolstest.Define("greet", `{}`)}},
		"a bad definition": {{Definition: json.RawMessage(`{}`), Run: greet}},
	} {
		if _, err := builtin.New(functions...); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestArgumentsErrorHoldsNoValue(t *testing.T) {
	t.Parallel()
	var a struct{}
	err := builtin.Arguments(tools.Call{Arguments: json.RawMessage(`{"password":"secret"}`)}, &a)
	if refused, ok := errors.AsType[*tools.RPCError](err); !ok || refused.Message != "the arguments do not fit the tool's input schema" {
		t.Errorf("error %v, want a fixed *tools.RPCError", err)
	}
}
