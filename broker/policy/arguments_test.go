package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
)

// tool is payments.refund with one argument, x.
func argument(schema string) policy.Tool {
	t := refund()
	t.InputSchema = json.RawMessage(`{"type":"object","properties":{"x":` + schema + `},"$defs":{
		"text":{"type":"string"},"loop":{"type":"array","items":{"$ref":"#/$defs/loop"}},"a/b~c":{"type":"integer"}}}`)
	return t
}

func TestTypesOfArguments(t *testing.T) {
	t.Parallel()
	const none = ""
	tests := []struct{ schema, condition, value string }{
		{`{"type":"string"}`, `x == "v"`, `"v"`},
		{`{"type":["string"]}`, `x == "v"`, `"v"`},
		{`{"enum":["v","w"]}`, `x == "v"`, `"v"`},
		{`{"const":"v"}`, `x == "v"`, `"v"`},
		{`{"enum":[1,2]}`, `x == 1`, `1`},
		{`{"enum":[1,2.5]}`, none, ``},
		{`{"enum":[true]}`, `x`, `true`},
		{`{"enum":["v",null]}`, none, ``},
		{`{"enum":[]}`, none, ``},
		{`{"$ref":"#/$defs/text"}`, `x == "v"`, `"v"`},
		{`{"$ref":"#/$defs/a~1b~0c"}`, `x == 1`, `1`},
		{`{"allOf":[{"$ref":"#/$defs/text"}],"description":"d"}`, `x == "v"`, `"v"`},
		{`{"allOf":[true]}`, none, ``},
		{`{"$ref":"#/$defs/none"}`, none, ``},
		{`{"$ref":"https://example.com/x"}`, none, ``},
		{`{"$ref":"#/$defs/loop"}`, none, ``},
		{`{"$id":"https://example.com/x","type":"string"}`, none, ``},
		{`{"type":["string","null"]}`, none, ``},
		{`{"anyOf":[{"type":"string"}]}`, none, ``},
		{`{"oneOf":[{"type":"string"}]}`, none, ``},
		{`{"type":"null"}`, none, ``},
		{`{"type":"whatever"}`, none, ``},
		{`true`, none, ``},
		{`{}`, none, ``},
		{`{"type":"object"}`, none, ``},
		{`{"type":"object","additionalProperties":{"type":"string"}}`, none, ``},
		{`{"type":"object","additionalProperties":false,"patternProperties":{"a":{}}}`, none, ``},
		{`{"type":"object","additionalProperties":false}`, `x == {}`, `{}`},
		{`{"type":"object","properties":{"y":{"type":"integer"}},"required":["y"]}`, `x.y == 1`, `{"y":1,"z":2}`},
		{`{"type":"object","properties":{"y":{"type":"object"}}}`, `x == {}`, `{"y":{"a":1}}`},
		{`{"type":"array","items":{"type":"integer"}}`, `x.contains(2)`, `[1,2]`},
		{`{"type":"array"}`, none, ``},
		{`{"type":"array","items":{}}`, none, ``},
		{`{"type":"array","items":{"type":"string"},"prefixItems":[{"type":"integer"}]}`, none, ``},
		{`{"type":"integer"}`, `x == 100`, `1e2`},
		{`{"type":"integer"}`, `x == 9223372036854775807`, `9223372036854775807`},
		{`{"type":"integer"}`, `x == -9223372036854775808`, `-9223372036854775808.000`},
		{`{"type":"integer"}`, `x == 0`, `-0.0e999999999999999999999`},
		{`{"type":"number"}`, `x == decimal("-922337203685477.5808")`, `-922337203685477.5808`},
		{`{"type":"number"}`, `x == decimal("0.1")`, `0.10000000`},
		{`{"type":"number"}`, `x == decimal("12.0")`, `12`},
	}
	for _, test := range tests {
		condition := "context.input.x == context.input.x"
		if test.condition != none {
			condition = "context.input." + test.condition
		}
		text := `permit (principal, action, resource is Upstream) when { context.input has x && ` + condition + ` };`
		set, findings := policy.Compile(file(text), []policy.Tool{argument(test.schema)}, policy.Options{})
		if (set != nil) != (test.condition != none) {
			t.Errorf("%s: %v", test.schema, findings)
			continue
		}
		if set == nil {
			continue
		}
		if d, err := set.Decide(request(t, `{"x":`+test.value+`}`)); d.Effect != audit.Allow {
			t.Errorf("%s: %s is %s, %v", test.schema, test.value, d.Effect, err)
		}
	}
}

func TestArgumentsThatDoNotFitAreRefusedIfRead(t *testing.T) {
	t.Parallel()
	const integer, number = "an integer of 64 bits", "a decimal of at most 4 fractional digits, within ±922337203685477.5807"
	tests := []struct{ schema, value, pointer, want string }{
		{`{"type":"integer"}`, `9223372036854775808`, "/x", integer},
		{`{"type":"integer"}`, `-9223372036854775809`, "/x", integer},
		{`{"type":"integer"}`, `1e19`, "/x", integer},
		{`{"type":"integer"}`, `1e999999999999`, "/x", integer},
		{`{"type":"integer"}`, `1e-999999999999`, "/x", integer},
		{`{"type":"integer"}`, `1.5`, "/x", integer},
		{`{"type":"integer"}`, `"1"`, "/x", integer},
		{`{"type":"number"}`, `0.00001`, "/x", number},
		{`{"type":"number"}`, `922337203685477.5808`, "/x", number},
		{`{"type":"string"}`, `null`, "/x", "a string"},
		{`{"type":"boolean"}`, `1`, "/x", "a boolean"},
		{`{"type":"array","items":{"type":"integer"}}`, `{}`, "/x", "an array"},
		{`{"type":"array","items":{"type":"integer"}}`, `[1,0.5]`, "/x/1", integer},
		{`{"type":"object","properties":{"a/b~":{"type":"integer"}}}`, `{"a/b~":0.5}`, "/x/a~1b~0", integer},
		{`{"type":"object","properties":{"y":{"type":"integer"}}}`, `[]`, "/x", "an object"},
	}
	for _, test := range tests {
		tool := argument(test.schema)
		reads := compile(t, `permit (principal, action, resource is Upstream) when { context.input has x && context.input.x == context.input.x };`, tool)
		r := request(t, `{"x":`+test.value+`}`)
		d, err := reads.Decide(r)
		var wrong *policy.ArgumentError
		if !errors.As(err, &wrong) || wrong.Pointer != test.pointer || wrong.Want != test.want || d.Effect != audit.Deny {
			t.Errorf("%s for %s: %s, %v", test.value, test.schema, d.Effect, err)
			continue
		}
		if want := fmt.Sprintf("argument %s is read by a policy as %s, and does not fit", test.pointer, test.want); err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
		ignores := compile(t, `permit (principal, action, resource);`, tool)
		if d, err := ignores.Decide(r); err != nil || d.Effect != audit.Allow {
			t.Errorf("%s for %s unread: %s, %v", test.value, test.schema, d.Effect, err)
		}
	}
}

func TestFirstMisfitByNameIsReported(t *testing.T) {
	t.Parallel()
	set := compile(t, `permit (principal, action, resource is Upstream) when { context.input == context.input };`,
		argument(`{"type":"object","properties":{"c":{"type":"integer"},"a":{"type":"integer"},"b":{"type":"integer"}}}`))
	for range 20 {
		_, err := set.Decide(request(t, `{"x":{"c":0.5,"b":0.5,"a":0.5}}`))
		var wrong *policy.ArgumentError
		if !errors.As(err, &wrong) || wrong.Pointer != "/x/a" {
			t.Fatalf("%v, want one about /x/a", err)
		}
	}
}

func TestContextReadWholeReadsEveryArgument(t *testing.T) {
	t.Parallel()
	set := compile(t, `permit (principal, action, resource is Upstream) when { (if context.tool.readOnly then context.input else context.input) == context.input };`, argument(`{"type":"integer"}`))
	if d, err := set.Decide(request(t, `{"x":0.5}`)); err == nil || d.Effect != audit.Deny {
		t.Errorf("%s, %v", d.Effect, err)
	}
	r := request(t, `{}`)
	r.Input = nil
	if d, err := set.Decide(r); err != nil || d.Effect != audit.Allow {
		t.Errorf("no arguments: %s, %v", d.Effect, err)
	}
}

func TestSchemasThatMultiplyAreBounded(t *testing.T) {
	t.Parallel()
	defs := `"d0":{"type":"string"}`
	for i := 1; i <= 30; i++ {
		defs += fmt.Sprintf(`,"d%d":{"type":"object","properties":{"a":{"$ref":"#/$defs/d%d"},"b":{"$ref":"#/$defs/d%d"}}}`, i, i-1, i-1)
	}
	tool := refund()
	tool.InputSchema = json.RawMessage(`{"$ref":"#/$defs/d30","$defs":{` + defs + `}}`)
	if _, findings := policy.Compile(file(`permit (principal, action, resource);`), []policy.Tool{tool}, policy.Options{}); findings.Err() != nil {
		t.Error(findings)
	}
	deep := ""
	for range 100 {
		deep += `{"allOf":[`
	}
	tool = argument(deep + `{"type":"string"}` + stringsOf("]}", 100))
	text := `permit (principal, action, resource is Upstream) when { context.input has x };`
	if _, findings := policy.Compile(file(text), []policy.Tool{tool}, policy.Options{}); findings.Err() == nil {
		t.Error("a type nested beyond the bound was read")
	}
}

func stringsOf(s string, n int) string {
	var all string
	for range n {
		all += s
	}
	return all
}

func TestToolWithoutObjectSchema(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{``, ` `, `true`, `{}`} {
		tool := refund()
		tool.InputSchema = json.RawMessage(schema)
		set := compile(t, `permit (principal, action, resource is Upstream) when { context.input == {} };`, tool)
		if d, err := set.Decide(request(t, `{"x":1}`)); err != nil || d.Effect != audit.Allow {
			t.Errorf("%q: %s, %v", schema, d.Effect, err)
		}
	}
}
