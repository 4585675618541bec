package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
	"github.com/deedbroker/deed/tools/upstream"
)

func TestStdioKeepsTheContract(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"modern", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			toolstest.Run(t, func(t *testing.T) toolstest.Subject {
				t.Helper()
				return subject(child(t, mode, nil))
			})
		})
	}
}

func TestDefinitionsAreForwardedRaw(t *testing.T) {
	t.Parallel()
	u := child(t, "modern", nil)
	toolstest.Start(t, u)
	raws, err := u.Definitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	echo := slices.IndexFunc(raws, func(raw json.RawMessage) bool { return strings.Contains(string(raw), `"name":"echo"`) })
	if echo < 0 || !strings.Contains(string(raws[echo]), `"allOf":[{"title":"kept"}]`) {
		t.Errorf("definitions %s, want echo with every keyword of its schema", raws)
	}
}

func TestWhatTheServerSees(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"modern", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			u := child(t, mode, nil)
			toolstest.Start(t, u)
			got := text(t, u, tools.Call{ID: "1", Tool: "seen", Arguments: json.RawMessage(`{"a":{"b":[1,"<x>"]}}`), TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
			for _, want := range []string{`"a":{"b":[1,"\u003cx\u003e"]}`, `"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"`} {
				if !strings.Contains(got, want) {
					t.Errorf("the server saw %s, want %s", got, want)
				}
			}
		})
	}
}

func TestProgressIsRoutedToItsCall(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"modern", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			u := child(t, mode, nil)
			toolstest.Start(t, u)
			const calls = 4
			told := make(chan []string, calls)
			for range calls {
				go func() {
					var got []string
					_, err := u.Call(t.Context(), tools.Call{ID: "1", Tool: "progress", Arguments: json.RawMessage(`{}`), Notify: func(method string, params json.RawMessage) {
						got = append(got, method+string(params))
					}})
					if err != nil {
						t.Error(err)
					}
					told <- got
				}()
			}
			for range calls {
				got := <-told
				if len(got) != 3 || got[0] != `notifications/progress{"progress":1,"total":3}` {
					t.Errorf("told %q, want the call's own progress", got)
				}
			}
		})
	}
}

func TestACrashIsUncertainAndTheProcessStartsAgain(t *testing.T) {
	t.Parallel()
	u := child(t, "modern", nil)
	r := registered(t, u, tools.RegistryOptions{})
	waiting := make(chan error, 1)
	hang, err := r.Lookup("up.hang")
	if err != nil {
		t.Fatal(err)
	}
	reached := make(chan struct{})
	go func() {
		close(reached)
		_, err := hang.Call(t.Context(), tools.Call{ID: "1", Arguments: json.RawMessage(`{}`)})
		waiting <- err
	}()
	<-reached
	if _, err := call(t.Context(), u, "crash", `{}`); !errors.Is(err, tools.ErrUncertain) {
		t.Errorf("the call that crashed it: %v, want ErrUncertain", err)
	}
	if err := <-waiting; !errors.Is(err, tools.ErrUncertain) && !errors.Is(err, tools.ErrNotSent) {
		t.Errorf("another call at that time: %v, want ErrUncertain, or ErrNotSent if it came too late", err)
	}
	eventually(t, "it is started again", func() bool { return r.Status()[0].Restarts > 0 })
	ready(t, r)
	if _, err := call(t.Context(), u, "echo", `{"text":"x"}`); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

func TestAProcessThatNeverAnswersTheHandshake(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"silent", "deaf"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			u := child(t, mode, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := u.Run(ctx, func() {}); err == nil {
				t.Error("Run: nil, want that there was no handshake")
			}
			if _, err := call(t.Context(), u, "echo", `{}`); !errors.Is(err, tools.ErrNotSent) {
				t.Errorf("call: %v, want ErrNotSent", err)
			}
		})
	}
}

func TestAProcessThatExitsAtOnce(t *testing.T) {
	t.Parallel()
	u := child(t, "exits", nil)
	err := u.Run(t.Context(), func() {})
	if err == nil || u.Health() == nil {
		t.Fatalf("Run: %v, health: %v; want errors", err, u.Health())
	}
	missing, err := upstream.NewStdio(upstream.StdioConfig{Command: "no-such-command-here"})
	if err != nil {
		t.Fatal(err)
	}
	if err := missing.Run(t.Context(), func() {}); err == nil || !strings.Contains(err.Error(), "no-such-command-here") {
		t.Errorf("Run: %v, want that the command is missing", err)
	}
}

func TestTheEnvironmentIsMinimal(t *testing.T) {
	t.Setenv("DEED_TEST_SECRET", "must not be seen")
	t.Setenv("HOME", "/home/of-the-broker")
	u := child(t, "modern", func(c *upstream.StdioConfig) {
		c.Env["GIVEN"] = "yes"
		c.Env["HOME"] = "/home/given"
	})
	toolstest.Start(t, u)
	var names []string
	for variable := range strings.Lines(text(t, u, tools.Call{ID: "1", Tool: "environment", Arguments: json.RawMessage(`{}`)})) {
		name, value, _ := strings.Cut(strings.TrimSpace(variable), "=")
		names = append(names, name)
		if name == "HOME" && value != "/home/given" {
			t.Errorf("HOME is %s, want the configured one", value)
		}
	}
	allowed := []string{"PATH", "HOME", "LANG", "TMPDIR", "GIVEN", "GORACE", fixtureVariable}
	for _, name := range names {
		if !slices.Contains(allowed, name) {
			t.Errorf("the process has %s in its environment", name)
		}
	}
	if !slices.Contains(names, "GIVEN") || !slices.Contains(names, "PATH") {
		t.Errorf("environment %v, want GIVEN and PATH in it", names)
	}
}

func TestAFloodOnStandardErrorBlocksNothing(t *testing.T) {
	t.Parallel()
	var log logs
	u := child(t, "modern", func(c *upstream.StdioConfig) { c.Logger = log.logger() })
	toolstest.Start(t, u)
	if got := text(t, u, tools.Call{ID: "1", Tool: "flood", Arguments: json.RawMessage(`{}`)}); got != "flooded" {
		t.Errorf("answered %q", got)
	}
	eventually(t, "the beginning of the line is logged", func() bool { return strings.Contains(log.String(), "floodflood") })
	if size := len(log.String()); size > 16<<10 {
		t.Errorf("a line of 5 MiB was logged with %d bytes", size)
	}
}

func TestAnAnswerThatIsTooLargeIsUncertain(t *testing.T) {
	t.Parallel()
	u := child(t, "modern", func(c *upstream.StdioConfig) { c.MaxAnswer = 64 << 10 })
	r := registered(t, u, tools.RegistryOptions{})
	if _, err := call(t.Context(), u, "big", `{"bytes":32768}`); err != nil {
		t.Errorf("an answer within the limit: %v", err)
	}
	_, err := call(t.Context(), u, "big", `{"bytes":1000000}`)
	if !errors.Is(err, tools.ErrUncertain) || !strings.Contains(err.Error(), "too large") {
		t.Errorf("an answer beyond it: %v, want ErrUncertain and why", err)
	}
	eventually(t, "it is started again", func() bool { return r.Status()[0].Restarts > 0 })
	ready(t, r)
	if _, err := call(t.Context(), u, "echo", `{"text":"x"}`); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestACancelledCallIsToldToTheServer(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"modern", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			marks := t.TempDir()
			u := child(t, mode, func(c *upstream.StdioConfig) { c.Env["DEED_TEST_MARKS"] = marks })
			toolstest.Start(t, u)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if _, err := call(ctx, u, "hang", `{}`); !errors.Is(err, tools.ErrUncertain) {
				t.Errorf("error %v, want ErrUncertain", err)
			}
			eventually(t, "the tool's context ends", func() bool {
				_, err := os.Stat(filepath.Join(marks, "cancelled"))
				return err == nil
			})
		})
	}
}

func TestTheWholeProcessGroupEnds(t *testing.T) {
	t.Parallel()
	u := child(t, "modern", nil)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- u.Run(ctx, func() {}) }()
	eventually(t, "it is healthy", func() bool { return u.Health() == nil })
	pid, err := strconv.Atoi(text(t, u, tools.Call{ID: "1", Tool: "spawn", Arguments: json.RawMessage(`{}`)}))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the grandchild does not run: %v", err)
	}
	cancel()
	if err := <-ran; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v, want context.Canceled", err)
	}
	eventually(t, "the grandchild has ended", func() bool { return gone(pid) })
}

// gone reports whether a process has ended; its parent may not have noticed.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func TestNewToolsAreNoticed(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"modern", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			u := child(t, mode, nil)
			r := registered(t, u, tools.RegistryOptions{})
			grown := 0
			// The subscription is opened beside the first calls: a change before it is not told.
			eventually(t, "a tool added later is known", func() bool {
				grown++
				if _, err := call(t.Context(), u, "grow", `{"name":"grown`+strconv.Itoa(grown)+`"}`); err != nil {
					t.Fatal(err)
				}
				_, err := r.Lookup("up.grown1")
				return err == nil
			})
		})
	}
}
