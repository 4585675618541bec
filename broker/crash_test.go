package broker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
)

// The crash test kills a real broker process, with calls, votes and tools under way,
// at random and at every point where the order of act and record matters, again and
// again over the same log. The child says on its standard output which appends were
// acknowledged; its tool leaves a line in a file when it acts.
const (
	crashDir   = "DEED_TEST_CRASH_DIR"
	crashPoint = "DEED_TEST_CRASH_POINT"
)

// crashPoints are where the child kills itself, at the third time that it comes there.
var crashPoints = []string{
	"before " + string(audit.CallIntent), "after " + string(audit.CallIntent),
	"before the act", "after the act",
	"before " + string(audit.CallResult), "after " + string(audit.CallResult),
	"before " + string(audit.CallApproval), "after " + string(audit.CallApproval),
	"before " + string(audit.CallReleased), "after " + string(audit.CallReleased),
	"before " + string(audit.CallDenied), "after " + string(audit.CallDenied),
}

func TestCrashTruth(t *testing.T) {
	t.Parallel()
	if os.Getenv(crashDir) != "" {
		t.Skip("this is the child")
	}
	dir := t.TempDir()
	points := crashPoints
	random := 8
	if testing.Short() {
		points, random = points[:4], 1
	}
	var acked []string
	for _, p := range points {
		acked = append(acked, crash(t, dir, p, 0)...)
		checkTruth(t, dir, acked, p)
	}
	for range random {
		after := 20 + rand.IntN(400)
		acked = append(acked, crash(t, dir, "", after)...)
		checkTruth(t, dir, acked, fmt.Sprintf("after %d acknowledgements", after))
	}
}

// crash runs a child until it dies, and returns the ids of the events that it saw acknowledged.
func crash(t *testing.T, dir, point string, after int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestCrashChild$", "-test.v")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashPoint+"="+point)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acked, rest []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		id, ok := strings.CutPrefix(lines.Text(), "acked ")
		if !ok {
			rest = append(rest, lines.Text())
			continue
		}
		if acked = append(acked, id); len(acked) == after {
			_ = cmd.Process.Kill() // it may be gone already
		}
	}
	err = cmd.Wait()
	if ctx.Err() != nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was to die at %q, but: %v\n%s", point, err, strings.Join(rest, "\n"))
	}
	return acked
}

// checkTruth restarts a broker over what the crash left and looks at everything.
func checkTruth(t *testing.T, dir string, acked []string, when string) {
	t.Helper()
	rig := new(doomed).start(t, dir)
	defer rig.Stop()
	settle(t, rig)

	events := map[string]bool{}
	state := map[string]*calls.Call{}
	for rec, err := range rig.Log.Read(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e, err := rec.Event()
		if err != nil {
			t.Fatal(err)
		}
		events[e.ID] = true
		if e.Topic != audit.TopicCalls {
			continue
		}
		c := state[e.Subject]
		if c == nil {
			c = &calls.Call{}
			state[e.Subject] = c
		}
		if _, err := c.Apply(e, rec.Position); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	for _, id := range acked {
		if !events[id] {
			t.Errorf("%s: event %s was acknowledged and is not there", when, id)
		}
	}
	for id, c := range state {
		if c.Open() && c.State != calls.Held {
			t.Errorf("%s: call %s was left %s", when, id, c.State)
		}
	}
	checkActs(t, dir, state, when)
	verified(t, rig.Log, when)
}

// checkActs compares what the tool did with what the log says.
func checkActs(t *testing.T, dir string, state map[string]*calls.Call, when string) {
	t.Helper()
	acts, err := os.ReadFile(filepath.Join(dir, "acts"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	done := map[string]bool{}
	for id := range strings.Lines(string(acts)) {
		id = strings.TrimSpace(id)
		if done[id] {
			t.Errorf("%s: call %s was executed twice", when, id)
		}
		done[id] = true
		switch c := state[id]; {
		case c == nil:
			t.Errorf("%s: call %s was executed without an intent", when, id)
		case c.Intent.Decision.Effect == audit.Hold && c.Releasing.ID == "":
			t.Errorf("%s: call %s was executed without a release", when, id)
		case c.Closing.Type != audit.CallResult && c.Closing.Type != audit.CallUnknown:
			t.Errorf("%s: call %s was executed, the log says %s", when, id, c.Closing.Type)
		}
	}
	for id, c := range state {
		if c.Closing.Type == audit.CallResult && !done[id] {
			t.Errorf("%s: call %s has a result and was never executed", when, id)
		}
	}
}

// settle waits until nothing is left to do for calls that people have decided.
func settle(t *testing.T, rig *brokertest.Rig) {
	t.Helper()
	for {
		busy := false
		for _, h := range rig.Pending(t.Context(), bob) {
			quorum := 1
			if strings.Contains(string(h.Arguments), "ask two") {
				quorum = 2
			}
			busy = busy || len(h.Votes) >= quorum
		}
		if !busy {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatal("held calls with votes are not decided")
		}
	}
}

// TestCrashChild is the process that is killed.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("only TestCrashTruth runs this")
	}
	d := &doomed{point: os.Getenv(crashPoint)}
	rig := d.start(t, dir)
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() { d.work(t, rig, w) })
	}
	workers.Wait()
}

// doomed kills its process at a point.
type doomed struct {
	point string
	times atomic.Int32
}

func (d *doomed) reach(point string) {
	if point == d.point && d.times.Add(1) == 3 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// start runs a broker whose tool leaves a trace when it acts.
func (d *doomed) start(t *testing.T, dir string) *brokertest.Rig {
	t.Helper()
	fake := toolstest.NewFake()
	fake.Handle(toolstest.Define(toolstest.Echo, `{"text":{"type":"string"}}`, "text"), d.act(t, filepath.Join(dir, "acts")))
	return brokertest.Start(t, brokertest.Options{
		Dir: filepath.Join(dir, "log"), Policies: policies, HoldWait: time.Millisecond, Seal: true,
		Upstreams: map[string]tools.Upstream{"desk": fake},
		Wrap:      func(l audit.Log) audit.Log { return &doomedLog{Log: l, doomed: d} },
	})
}

func (d *doomed) act(t *testing.T, path string) toolstest.Handler {
	t.Helper()
	acts, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = acts.Close() })
	return func(_ context.Context, c tools.Call) (tools.Answer, error) {
		d.reach("before the act")
		if _, err := io.WriteString(acts, c.ID+"\n"); err != nil {
			return tools.Answer{}, err
		}
		d.reach("after the act")
		return tools.Answer{Raw: json.RawMessage(`{"content":[]}`)}, nil
	}
}

// work calls, approves and denies until the process dies.
func (d *doomed) work(t *testing.T, rig *brokertest.Rig, worker int) {
	t.Helper()
	for i := 0; t.Context().Err() == nil; i++ {
		text := [...]string{"plain", "ask", "secret", "ask two"}[i%4]
		reply, err := rig.Call(t.Context(), echo(fmt.Sprintf("%s %d %d", text, worker, i)))
		if err != nil || reply.Pending == nil {
			continue
		}
		h, err := rig.Held(t.Context(), bob, reply.CallID)
		if err != nil {
			t.Error(err)
			return
		}
		verdict := [...]audit.Verdict{audit.Approve, audit.Approve, audit.Reject}[i%3]
		if err := vote(t, rig, bob, h, verdict, "because"); err != nil {
			t.Error(err)
			return
		}
		if text == "ask two" && i%8 < 4 && verdict == audit.Approve {
			_ = vote(t, rig, dave, h, audit.Approve, "")
		}
	}
}

// doomedLog says on standard output what is acknowledged.
type doomedLog struct {
	audit.Log
	*doomed
	mu sync.Mutex
}

func (l *doomedLog) Append(ctx context.Context, e audit.Event) (audit.Position, error) {
	l.reach("before " + string(e.Type))
	p, err := l.Log.Append(ctx, e)
	if err == nil && os.Getenv(crashDir) != "" {
		l.mu.Lock()
		_, err = fmt.Fprintf(os.Stdout, "acked %s\n", e.ID)
		l.mu.Unlock()
	}
	l.reach("after " + string(e.Type))
	return p, err
}
