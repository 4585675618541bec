package tools_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/deedbroker/deed/tools"
)

func TestCheckUpstreamName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"payments": true, "a": true, "git-2": true, strings.Repeat("a", 32): true,
		"": false, "deed": false, "Payments": false, "a.b": false, "a_b": false, "pаyments": false, strings.Repeat("a", 33): false,
	} {
		if err := tools.CheckUpstreamName(name); (err == nil) != ok {
			t.Errorf("%q: %v, want it accepted: %v", name, err, ok)
		}
	}
}

func TestWireName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 128)
	for _, test := range []struct{ upstream, tool, want string }{
		{"payments", "refund", "payments__refund"},
		{"payments", "re-fund_2", "payments__re-fund_2"},
		{"payments", "refund.now", "payments__refund_now_"},
		{"payments", "a/b", "payments__a_b_"},
		{"payments", long, "payments__xxxx"},
	} {
		got := tools.WireName(test.upstream, test.tool)
		if !strings.HasPrefix(got, test.want) {
			t.Errorf("%s.%s: %s, want %s...", test.upstream, test.tool, got, test.want)
		}
	}
	if tools.WireName("payments", "a.b") == tools.WireName("payments", "a/b") {
		t.Error("a.b and a/b have the same wire name")
	}
}

func TestWireNamesSuitModelsAndTellUpstreamsApart(t *testing.T) {
	t.Parallel()
	valid := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	upstream := rapid.StringMatching(`[a-z0-9-]{1,32}`)
	tool := rapid.StringMatching(`[A-Za-z0-9_./-]{1,128}`)
	rapid.Check(t, func(t *rapid.T) {
		u, v := upstream.Draw(t, "upstream"), upstream.Draw(t, "other upstream")
		a, b := tool.Draw(t, "tool"), tool.Draw(t, "other tool")
		wire := tools.WireName(u, a)
		if !valid.MatchString(wire) {
			t.Fatalf("wire name %q", wire)
		}
		if u != v && wire == tools.WireName(v, b) {
			t.Fatalf("%s.%s and %s.%s are both %q", u, a, v, b, wire)
		}
		if gotUpstream, gotTool, ok := tools.SplitName(tools.QualifiedName(u, a)); !ok || gotUpstream != u || gotTool != a {
			t.Fatalf("split into %q and %q", gotUpstream, gotTool)
		}
	})
}
