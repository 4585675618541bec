package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"time"
)

const (
	graceAfterOutput = 200 * time.Millisecond // for a process that has closed its standard output
	graceAfterEOF    = 2 * time.Second        // for a process whose standard input was closed
	graceAfterTerm   = 3 * time.Second        // for a process that was asked to terminate
	maxLogLine       = 2048                   // bytes of a line of standard error
)

// inherited are the variables that a process gets of the broker's environment.
func inherited() []string { return []string{"PATH", "HOME", "LANG", "TMPDIR"} }

// process is a child process that leads a process group of its own.
type process struct {
	cmd           *exec.Cmd
	stdin, stdout *os.File
	exited        chan struct{} // closed when it has ended, and its group with it
	err           error         // how it ended; set before exited is closed
	logged        chan struct{} // closed when its standard error has been read
}

func startProcess(ctx context.Context, c StdioConfig) (*process, error) {
	path, err := exec.LookPath(c.Command)
	if err != nil {
		return nil, fmt.Errorf("start process: %w", err)
	}
	// The process is ended by stop, in steps, not by ctx.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, c.Args...) //nolint:gosec // the operator's configuration names it
	cmd.Dir = c.Dir
	cmd.Env = environment(c.Env)
	ownGroup(cmd)
	p := &process{cmd: cmd, exited: make(chan struct{}), logged: make(chan struct{})}
	var theirs, ours []*os.File
	pipe := func(write bool) (mine, its *os.File) {
		r, w, pipeErr := os.Pipe()
		err = errors.Join(err, pipeErr)
		if write {
			r, w = w, r
		}
		theirs, ours = append(theirs, w), append(ours, r)
		return r, w
	}
	var stderr *os.File
	p.stdin, cmd.Stdin = pairReader(pipe(true))
	p.stdout, cmd.Stdout = pairWriter(pipe(false))
	stderr, cmd.Stderr = pairWriter(pipe(false))
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		err = p.bound(c.Resources)
	}
	closeAll(theirs)
	if err != nil {
		closeAll(ours)
		return nil, fmt.Errorf("start process: %w", err)
	}
	go p.wait()
	go func() {
		defer close(p.logged)
		defer stderr.Close() //nolint:errcheck // only read
		logLines(ctx, c.Logger, stderr)
	}()
	return p, nil
}

// bound bounds what the process may use, and ends it if that fails.
func (p *process) bound(r Resources) error {
	err := r.bound(p.cmd.Process.Pid)
	if err != nil {
		killGroup(p.cmd)
		_ = p.cmd.Wait() // killed
	}
	return err
}

func pairReader(mine, its *os.File) (*os.File, io.Reader) { return mine, its }
func pairWriter(mine, its *os.File) (*os.File, io.Writer) { return mine, its }

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nil, or a pipe of which nothing is lost
	}
}

// wait ends the rest of the group as soon as its leader has ended.
func (p *process) wait() {
	p.err = p.cmd.Wait()
	killGroup(p.cmd)
	close(p.exited)
}

// reason is how the process ended. It must have exited.
func (p *process) reason() error {
	if p.err == nil {
		return errors.New("its process has exited")
	}
	return fmt.Errorf("its process has ended: %w", p.err)
}

// stop ends the process and its group: politely at first, surely in the end.
func (p *process) stop() {
	_ = p.stdin.Close() // perhaps closed already
	if !p.ends(graceAfterEOF) {
		terminateGroup(p.cmd)
		if !p.ends(graceAfterTerm) {
			killGroup(p.cmd)
			<-p.exited
		}
	}
	_ = p.stdout.Close() // only read
	<-p.logged
}

func (p *process) ends(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

func environment(configured map[string]string) []string {
	var env []string
	for _, name := range inherited() {
		if _, ok := configured[name]; ok {
			continue
		}
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	for name, value := range configured {
		env = append(env, name+"="+value)
	}
	return env
}

// logLines logs what a process says on standard error, until that ends. It never makes
// the process wait for more than a line.
func logLines(ctx context.Context, log *slog.Logger, stderr io.Reader) {
	lines := bufio.NewReaderSize(stderr, maxLogLine)
	for {
		line, isPrefix, err := lines.ReadLine()
		if err != nil {
			return
		}
		log.LogAttrs(ctx, slog.LevelDebug, "upstream says", slog.String("line", string(line)), slog.Bool("cut", isPrefix))
		for isPrefix && err == nil {
			_, isPrefix, err = lines.ReadLine()
		}
	}
}
