package policy_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker/policy"
)

func FuzzCompile(f *testing.F) {
	f.Add([]byte(designPolicies), []byte(refundSchema))
	f.Add([]byte(`@expires("1d") permit (principal, action in [Action::"a.b"], resource) unless { context["input"] has "x" };`), []byte(`{"$ref":"#"}`))
	f.Add([]byte(`permit (principal == ?principal, action, resource);`), []byte(`{"properties":{"a":{"allOf":[{"$ref":"#/properties/a"}]}}}`))
	f.Add([]byte(`forbid(principal,action,resource) when { principal.getTag("x") == ip("::1") };`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, text, schema []byte) {
		tool := refund()
		tool.InputSchema = json.RawMessage(schema)
		set, findings := policy.Compile([]policy.File{{Name: "f", Text: text}}, []policy.Tool{tool}, policy.Options{})
		if (set == nil) != (findings.Err() != nil) {
			t.Fatalf("set %v with findings %v", set, findings)
		}
		for _, found := range findings {
			if found.File != "" && (found.Line < 1 || found.Column < 1) {
				t.Errorf("finding without a place: %v", found)
			}
		}
		if set == nil {
			return
		}
		d, _ := set.Decide(policy.Request{Tool: tool.ID(), Links: []policy.Link{alice()}, Now: noon})
		if d.Effect == audit.Allow && len(d.Reasons) == 0 {
			t.Error("allowed for no reason")
		}
		set.Visible([]policy.Link{alice()}, nil)
	})
}

func FuzzDecide(f *testing.F) {
	f.Add(`{"amount":101,"account":"a"}`)
	f.Add(`{"amount":1e400,"rate":0.00001,"tags":[null],"to":{"bank":1}}`)
	f.Add(`{"amount":-9223372036854775808,"rate":-922337203685477.5808}`)
	set := compile(f, designPolicies+`forbid (principal, action == Action::"payments.refund", resource) when { context.input != context.input };`)
	f.Fuzz(func(t *testing.T, input string) {
		var v any
		if json.Unmarshal([]byte(input), &v) != nil {
			t.Skip("not JSON")
		}
		r := request(t, input)
		d, err := set.Decide(r)
		var argument *policy.ArgumentError
		if err != nil && (!errors.As(err, &argument) || d.Effect != audit.Deny) {
			t.Errorf("%s: %s, %v", input, d.Effect, err)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"15m", "2d", "1d12h", "0s", "-1m", "d", "1d-1h", "9999999h", "65536d", "0d1s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := policy.ParseDuration(s); err == nil && (d <= 0 || d > policy.MaxHold) {
			t.Errorf("%q is %v", s, d)
		}
	})
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"15m": 15 * time.Minute, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour, "366d": policy.MaxHold, "0d5s": 5 * time.Second,
		"": 0, "0": 0, "0d": 0, "-1h": 0, "1d-1h": 0, "1.5d": 0, "366d1s": 0, "9000h": 0, "xd": 0, "5": 0,
	} {
		if got, err := policy.ParseDuration(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v, want %v", s, got, err, want)
		}
	}
}
