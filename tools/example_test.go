package tools_test

import (
	"context"
	"fmt"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/builtin"
	"github.com/deedbroker/deed/tools/toolstest"
)

func Example() {
	greet := builtin.Function{
		Definition: toolstest.Define("greet", `{"name":{"type":"string"}}`, "name"),
		Run: func(_ context.Context, c tools.Call) (tools.Answer, error) {
			var a struct {
				Name string `json:"name"`
			}
			err := builtin.Arguments(c, &a)
			return builtin.Text("hello " + a.Name), err
		},
	}
	upstream, err := builtin.New(greet)
	if err != nil {
		fmt.Println(err)
		return
	}
	registry := tools.NewRegistry(tools.RegistryOptions{})
	if err := registry.Add("social", "people", upstream, tools.Options{}); err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- registry.Run(ctx) }()
	if err := registry.WaitReady(ctx); err != nil {
		fmt.Println(err)
	}

	tool, _ := registry.Lookup("social.greet")
	wrong, _ := tools.ParseArguments([]byte(`{"Name":"Ada"}`))
	fmt.Println(tool.Validate(wrong))
	right, _ := tools.ParseArguments([]byte(` { "name" : "Ada" } `))
	answer, err := tool.Call(ctx, tools.Call{ID: "1", Arguments: right.Canonical})
	fmt.Println(string(answer.Raw), err)

	stop()
	fmt.Println(<-stopped)
	// Output:
	// arguments do not fit the tool's input schema: /Name: is not an argument of this tool; /name: is required
	// {"content":[{"type":"text","text":"hello Ada"}]} <nil>
	// <nil>
}
