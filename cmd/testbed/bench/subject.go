package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// The subjects; direct and proxy are the baselines.
const (
	subjectDirect = "direct"
	subjectProxy  = "proxy"
	subjectDeed   = "deed"
	subjectEcho   = "echo"  // the stdio server behind proxy and deed; not measured itself
	subjectWatch  = "watch" // the viewers of the stream; likewise
	subjectKinds  = "kinds" // servers of each kind that Deed has upstreams of

	baseline = subjectProxy
)

func subjectNames() []string { return []string{subjectDirect, subjectProxy, subjectDeed} }

// fixed is a call that is always the same.
type fixed struct {
	arguments string // JSON
	says      string // part of the answer
}

// stopGrace is how long a subject may take to end.
const stopGrace = 15 * time.Second

// subject is a process that serves the tool.
type subject struct {
	name  string
	url   string // of its MCP endpoint
	tool  string // the name that the endpoint gives to echo
	fixed *fixed // what is called instead of echo with a text of its own each time; nil
	token string // bearer; may be empty
	// person gives the token of somebody who may read everything; nil where nobody can.
	person func(name string) (string, error)
	// sign makes a token with any claims; nil likewise.
	sign func(who map[string]any) (string, error)
	pid  int
	// metrics is where a broker says what it has put off; empty for the others.
	metrics string
	stop    func() error
}

func (o *options) startSubject(ctx context.Context, name, dir string) (*subject, error) {
	if name == subjectDeed {
		return startDeed(ctx, deedConfig{dir: dir, echo: append(slices.Clip(o.child), subjectEcho), profile: o.profile})
	}
	return startChild(ctx, name, o.child)
}

// startChild runs this program as a subject. It says on its output where it
// listens, and ends when its input does.
func startChild(ctx context.Context, name string, child []string) (*subject, error) {
	args := append(slices.Clip(child[1:]), name)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), child[0], args...) //nolint:gosec // this very program
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &subject{name: name, tool: toolName, pid: cmd.Process.Pid}
	s.stop = func() error { return errors.Join(stdin.Close(), waitFor(cmd)) }
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("it did not say where it listens: %w", err), s.stop())
	}
	s.url = strings.TrimSpace(line)
	return s, nil
}

// waitFor waits for a process that was told to end, and kills it when it doesn't.
func waitFor(cmd *exec.Cmd) error {
	var killed atomic.Bool
	timer := time.AfterFunc(stopGrace, func() { killed.Store(cmd.Process.Kill() == nil) })
	err := cmd.Wait()
	if !timer.Stop() && killed.Load() {
		return fmt.Errorf("%s had to be killed", cmd.Path)
	}
	return err
}

// runSubject is the other side of startChild, and the stdio server.
func runSubject(ctx context.Context, name string, stdin io.Reader, stdout io.Writer) error {
	switch name {
	case subjectDirect:
		return serveHTTP(ctx, echoServer(), stdin, stdout)
	case subjectProxy:
		return serveProxy(ctx, stdin, stdout)
	case subjectWatch:
		return watch(ctx, stdin, stdout)
	case subjectKinds:
		return serveKinds(ctx, stdin, stdout)
	case subjectEcho:
		return serveStdio(ctx, stdin, stdout)
	default:
		return fmt.Errorf("bench: unknown subject %q", name)
	}
}
