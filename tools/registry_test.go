package tools_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// running is a registry whose upstreams are all ready.
func running(t *testing.T, o tools.RegistryOptions, upstreams map[string]tools.Upstream) *tools.Registry {
	t.Helper()
	r := tools.NewRegistry(o)
	for name, u := range upstreams {
		if err := r.Add(name, "work", u, tools.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, r)
	if err := r.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func run(t *testing.T, r *tools.Registry) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func names(all []*tools.Tool) []string {
	var n []string
	for _, t := range all {
		n = append(n, t.Name())
	}
	return n
}

func arguments(t *testing.T, raw string) tools.Arguments {
	t.Helper()
	a, err := tools.ParseArguments([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestRegistryOffersWhatItsUpstreamsList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := running(t, tools.RegistryOptions{}, map[string]tools.Upstream{"one": toolstest.NewFake(), "two": toolstest.NewFake()})
		want := []string{"one.echo", "one.fail", "one.hang", "one.refuse", "one.slow", "two.echo", "two.fail", "two.hang", "two.refuse", "two.slow"}
		if diff := cmp.Diff(want, names(r.Tools())); diff != "" {
			t.Errorf("tools (-want +got):\n%s", diff)
		}
		tool, err := r.ByWire("two__echo")
		if err != nil || tool.Name() != "two.echo" || tool.Domain != "work" {
			t.Fatalf("two__echo is %v, %v", tool, err)
		}
		if _, err := r.Lookup("two.ECHO"); !errors.Is(err, tools.ErrUnknownTool) {
			t.Errorf("two.ECHO: %v, want ErrUnknownTool", err)
		}
		a, err := tool.Call(t.Context(), tools.Call{ID: "1", Arguments: json.RawMessage(`{"text":"hi"}`)})
		if err != nil || !strings.Contains(string(a.Raw), "hi") {
			t.Errorf("echo answered %s, %v", a.Raw, err)
		}
	})
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	r := tools.NewRegistry(tools.RegistryOptions{})
	if err := r.Add("good", "work", toolstest.NewFake(), tools.Options{}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"reserved":        r.Add("deed", "work", toolstest.NewFake(), tools.Options{}),
		"a name twice":    r.Add("good", "work", toolstest.NewFake(), tools.Options{}),
		"no domain":       r.Add("other", "", toolstest.NewFake(), tools.Options{}),
		"a negative time": r.Add("other", "work", toolstest.NewFake(), tools.Options{ToolOptions: tools.ToolOptions{Timeout: -1}}),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNamesThatCanBeMistakenAreQuarantined(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ first, second string }{
		"case":               {"refund", "Refund"},
		"separators":         {"read-file", "read_file"},
		"dots":               {"read_file", "read.file"},
		"one and ell":        {"tool1", "tooll"},
		"zero and oh":        {"tool0", "toolO"},
		"rn and m":           {"born", "bom"},
		"a wire name":        {"a.b", strings.TrimPrefix(tools.WireName("up", "a.b"), "up__")},
		"unicode":            {"pay", "p\u0430y"},
		"bidi override":      {"pay", "pay\u202e"},
		"too long":           {"pay", strings.Repeat("p", 129)},
		"space":              {"pay", "pay "},
		"the wire separator": {"a__b", "a_.b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := toolstest.NewFake()
				f.SetDefinitions(toolstest.Define(test.first, `{}`), toolstest.Define(test.second, `{}`))
				r := running(t, tools.RegistryOptions{}, map[string]tools.Upstream{"up": f})
				if _, err := r.Lookup("up." + test.first); err != nil {
					t.Errorf("the first: %v", err)
				}
				_, err := r.Lookup("up." + test.second)
				quarantined, ok := errors.AsType[*tools.QuarantinedError](err)
				if !ok {
					t.Fatalf("the second: %v, want a *QuarantinedError", err)
				}
				if _, err := quarantined.Tool.Call(t.Context(), tools.Call{}); !errors.Is(err, tools.ErrNotSent) {
					t.Errorf("calling it all the same: %v, want ErrNotSent", err)
				}
				wires := map[string]string{}
				for _, tool := range r.Tools() {
					if found, err := r.ByWire(tool.WireName()); err == nil && found.Finding != "" {
						t.Errorf("%s leads to a quarantined tool", tool.WireName())
					}
					wires[tool.WireName()] = tool.Name()
				}
			})
		})
	}
}

func TestANewToolNeverTakesTheNameOfAKnownOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		f.SetDefinitions(toolstest.Define("refund", `{}`))
		r := running(t, tools.RegistryOptions{}, map[string]tools.Upstream{"up": f})
		f.SetDefinitions(toolstest.Define("Refund", `{}`), toolstest.Define("refund", `{}`))
		synctest.Wait()
		if _, err := r.Lookup("up.refund"); err != nil {
			t.Errorf("the known tool: %v", err)
		}
		if _, err := r.Lookup("up.Refund"); err == nil {
			t.Error("the one that resembles it can be called")
		}
	})
}

func TestAToolListedTwiceDifferentlyIsQuarantined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		same := toolstest.Define("same", `{}`)
		f.SetDefinitions(toolstest.Define("pay", `{}`), toolstest.Define("pay", `{"a":{}}`), same, same, json.RawMessage(`{"name":`))
		r := running(t, tools.RegistryOptions{}, map[string]tools.Upstream{"up": f})
		if _, err := r.Lookup("up.pay"); err == nil {
			t.Error("a tool with two definitions can be called")
		}
		if _, err := r.Lookup("up.same"); err != nil {
			t.Errorf("a definition repeated byte by byte: %v", err)
		}
		if s := r.Status()[0]; s.Tools != 2 || s.Quarantined != 1 || len(s.Notes) != 1 {
			t.Errorf("status %+v, want 2 tools, 1 quarantined and a note about the one that is not JSON", s)
		}
	})
}

func TestSchemasThatCannotBeUsedQuarantine(t *testing.T) {
	t.Parallel()
	doubling := strings.Builder{}
	for i := range 40 {
		doubling.WriteString(`"d` + string(rune('a'+i%26)) + string(rune('a'+i/26)) + `":{"allOf":[{"$ref":"#/$defs/d` + string(rune('a'+(i+1)%26)) + string(rune('a'+(i+1)/26)) + `"},{"$ref":"#/$defs/d` + string(rune('a'+(i+1)%26)) + string(rune('a'+(i+1)/26)) + `"}]},`)
	}
	for name, schema := range map[string]string{
		"none":             `null`,
		"not an object's":  `{"type":"string"}`,
		"a wrong type":     `{"type":"object","properties":{"a":{"type":"strin"}}}`,
		"a remote $ref":    `{"type":"object","properties":{"a":{"$ref":"https://schemas.example/a.json"}}}`,
		"a file":           `{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}`,
		"another dialect":  `{"$schema":"https://schemas.example/dialect","type":"object"}`,
		"a lookahead":      `{"type":"object","properties":{"a":{"pattern":"(?!x)"}}}`,
		"exponential":      `{"type":"object","$ref":"#/$defs/daa","$defs":{` + doubling.String() + `"dob":{"type":"object"}}}`,
		"recursive, twice": `{"type":"object","allOf":[{"properties":{"a":{"$ref":"#"}}},{"properties":{"a":{"$ref":"#"}}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := toolstest.NewFake()
				f.SetDefinitions(json.RawMessage(`{"name":"a","inputSchema":` + schema + `}`))
				r := running(t, tools.RegistryOptions{}, map[string]tools.Upstream{"up": f})
				_, err := r.Lookup("up.a")
				quarantined, ok := errors.AsType[*tools.QuarantinedError](err)
				if !ok || !strings.Contains(quarantined.Tool.Finding, "schema") {
					t.Fatalf("%v, want a finding about the schema", err)
				}
				if err := quarantined.Tool.Validate(arguments(t, `{}`)); err == nil {
					t.Error("arguments are valid though the schema cannot be used")
				}
			})
		})
	}
}

func TestTheCallersListIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		r := running(t, tools.RegistryOptions{}, map[string]tools.Upstream{"up": f})
		before := names(r.Tools())
		f.SetDefinitions(slices.Repeat([]json.RawMessage{toolstest.Define("a", `{}`)}, tools.MaxTools+1)...)
		synctest.Wait()
		if err := r.Status()[0].Err; err == nil || !strings.Contains(err.Error(), "1001 tools") {
			t.Errorf("status %v, want that the list is too long", err)
		}
		if diff := cmp.Diff(before, names(r.Tools())); diff != "" {
			t.Errorf("the tools known before are gone:\n%s", diff)
		}
	})
}

func TestSeededToolsAreKnownWhileTheirUpstreamIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		f.SetHealth(errors.New("connection refused"))
		r := tools.NewRegistry(tools.RegistryOptions{})
		if err := r.Add("up", "work", f, tools.Options{}); err != nil {
			t.Fatal(err)
		}
		if err := r.Seed("up", []json.RawMessage{toolstest.Define("old", `{"a":{"type":"integer"}}`)}); err != nil {
			t.Fatal(err)
		}
		run(t, r)
		synctest.Wait()
		tool, err := r.Lookup("up.old")
		if err != nil {
			t.Fatal(err)
		}
		if err := tool.Validate(arguments(t, `{"a":"x"}`)); err == nil {
			t.Error("the seeded schema is not checked")
		}
		if _, err := tool.Call(t.Context(), tools.Call{}); !errors.Is(err, tools.ErrNotSent) {
			t.Errorf("call: %v, want ErrNotSent", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "up (connection refused)") {
			t.Errorf("WaitReady: %v, want it to name the upstream and its trouble", err)
		}
		f.SetHealth(nil)
		if err := r.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Lookup("up.old"); !errors.Is(err, tools.ErrUnknownTool) {
			t.Errorf("a tool that the upstream no longer lists: %v, want ErrUnknownTool", err)
		}
	})
}

func TestACrashedUpstreamRunsAgainAndOthersNeverStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bad, good := toolstest.NewFake(), toolstest.NewFake()
		r := running(t, tools.RegistryOptions{}, map[string]tools.Upstream{"bad": bad, "good": good})
		for range 3 {
			well := r.Status()[0].Since
			time.Sleep(time.Minute)
			crashed := time.Now()
			bad.Crash(errors.New("segmentation fault"))
			synctest.Wait()
			if s := r.Status()[0]; s.Err == nil || !s.Since.Equal(crashed) || !s.StoppedAt.Equal(crashed) || s.Stopped == nil || !well.Before(crashed) {
				t.Errorf("a crashed upstream, well since %v: %+v", well, s)
			}
			if s := r.Status()[1]; s.Err != nil || s.Restarts != 0 {
				t.Errorf("the other upstream: %+v", s)
			}
			if err := r.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if s := r.Status()[0]; s.Restarts != 3 {
			t.Errorf("restarts %d, want 3", s.Restarts)
		}
	})
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		var now, most atomic.Int64
		f.Handle(toolstest.Define("count", `{}`), func(context.Context, tools.Call) (tools.Answer, error) {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			return toolstest.Text("done"), nil
		})
		r := tools.NewRegistry(tools.RegistryOptions{})
		if err := r.Add("up", "work", f, tools.Options{ToolOptions: tools.ToolOptions{Timeout: 3500 * time.Millisecond, Concurrency: 2}}); err != nil {
			t.Fatal(err)
		}
		run(t, r)
		if err := r.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		tool, err := r.Lookup("up.count")
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 10)
		for range 10 {
			go func() {
				_, err := tool.Call(t.Context(), tools.Call{Arguments: json.RawMessage(`{}`)})
				errs <- err
			}()
		}
		done, notSent := 0, 0
		for range 10 {
			switch err := <-errs; {
			case err == nil:
				done++
			case errors.Is(err, tools.ErrNotSent):
				notSent++
			default:
				t.Errorf("call: %v", err)
			}
		}
		if most.Load() != 2 || done+notSent != 10 || done < 6 || notSent < 2 {
			t.Errorf("%d at once, %d done, %d not sent; want 2 at once, 2 a second for 3.5 seconds, the rest not sent", most.Load(), done, notSent)
		}
		hang, err := r.Lookup("up.hang")
		if err != nil {
			t.Fatal(err)
		}
		_, err = hang.Call(t.Context(), tools.Call{Arguments: json.RawMessage(`{}`)})
		if !errors.Is(err, tools.ErrUncertain) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call that hangs: %v, want ErrUncertain and DeadlineExceeded", err)
		}
	})
}

func TestAPanickingToolIsUncertain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		f.Handle(toolstest.Define("panic", `{}`), func(context.Context, tools.Call) (tools.Answer, error) { panic("secret") })
		var log strings.Builder
		r := running(t, tools.RegistryOptions{Logger: textLogger(&log)}, map[string]tools.Upstream{"up": f})
		tool, err := r.Lookup("up.panic")
		if err != nil {
			t.Fatal(err)
		}
		_, err = tool.Call(t.Context(), tools.Call{})
		if !errors.Is(err, tools.ErrUncertain) {
			t.Errorf("error %v, want ErrUncertain", err)
		}
		if strings.Contains(log.String()+err.Error(), "secret") {
			t.Error("what it panicked with was told")
		}
	})
}

func TestAStaleToolIsNotCalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := toolstest.NewFake()
		r := running(t, tools.RegistryOptions{}, map[string]tools.Upstream{"up": f})
		tool, err := r.Lookup("up.echo")
		if err != nil {
			t.Fatal(err)
		}
		f.SetDefinitions(toolstest.Define("echo", `{"other":{}}`))
		synctest.Wait()
		if _, err := tool.Call(t.Context(), tools.Call{}); !errors.Is(err, tools.ErrNotSent) || !errors.Is(err, tools.ErrChanged) {
			t.Errorf("error %v, want ErrNotSent and ErrChanged", err)
		}
		if n := len(f.Calls()); n != 0 {
			t.Errorf("%d calls reached the upstream", n)
		}
	})
}

func TestQuarantineAndRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		changes := make(chan []*tools.Tool, 16)
		r := running(t, tools.RegistryOptions{OnChange: func(all []*tools.Tool) { changes <- all }}, map[string]tools.Upstream{"up": toolstest.NewFake()})
		<-changes
		if err := r.Quarantine("up.echo", "a person said so"); err != nil {
			t.Fatal(err)
		}
		if all := <-changes; all[0].Name() != "up.echo" || all[0].Finding != "a person said so" {
			t.Errorf("told %s: %q", all[0].Name(), all[0].Finding)
		}
		if _, err := r.Lookup("up.echo"); err == nil || !strings.Contains(err.Error(), "a person said so") {
			t.Errorf("lookup: %v, want the finding", err)
		}
		if err := r.Release("up.echo"); err != nil {
			t.Fatal(err)
		}
		<-changes
		if _, err := r.Lookup("up.echo"); err != nil {
			t.Errorf("after its release: %v", err)
		}
	})
}

func TestReviewComesBeforeAToolIsVisible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reject atomic.Bool
		reject.Store(true)
		review := func(all []*tools.Tool) map[string]string {
			findings := map[string]string{"up.gone": "not there"}
			for _, tool := range all {
				if reject.Load() && tool.Name() == "up.echo" {
					findings[tool.Name()] = "the policies do not fit it"
				}
			}
			return findings
		}
		r := running(t, tools.RegistryOptions{Review: review}, map[string]tools.Upstream{"up": toolstest.NewFake()})
		if _, err := r.Lookup("up.echo"); err == nil {
			t.Error("a tool that the review rejects can be called")
		}
		if _, err := r.Lookup("up.slow"); err != nil {
			t.Errorf("a tool that it accepts: %v", err)
		}
		reject.Store(false)
		r.Recheck()
		if _, err := r.Lookup("up.echo"); err != nil {
			t.Errorf("after another review: %v", err)
		}
	})
}

func TestAnUpstreamThatIsWellSaysSinceWhen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := tools.NewRegistry(tools.RegistryOptions{})
		if err := r.Add("up", "work", toolstest.NewFake(), tools.Options{}); err != nil {
			t.Fatal(err)
		}
		run(t, r) // nobody has looked at it before it is well
		if err := r.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := r.Status()[0]; s.Err != nil || s.Since.IsZero() {
			t.Errorf("status: %+v", s)
		}
	})
}
