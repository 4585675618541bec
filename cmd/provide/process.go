package provide

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a server that runs on its own, in a directory of its own. It outlives
// whoever starts it until it is stopped.
type Process struct {
	Dir     string   // where it runs, with its pid file and its output; it is created
	Command []string // the program, by its path, and its arguments
	Env     []string // added to the environment
	// Ready returns nil once the server does its work. It is asked again and again.
	Ready func(context.Context) error
	// Patience is how long it may take to be ready; DefaultPatience if zero.
	Patience time.Duration
}

// DefaultPatience is enough for a JVM on a busy machine.
const DefaultPatience = 3 * time.Minute

// The files in a process's directory.
const (
	pidFile    = "pid"
	outputFile = "output.log"
	startLock  = "start.lock"
)

const (
	readyPoll = 100 * time.Millisecond
	stopGrace = 30 * time.Second // after SIGTERM
	killGrace = 10 * time.Second // after SIGKILL, for the system to clean up
)

var errExited = errors.New("it exited")

// Start makes sure that the process runs and is ready. One that runs already, whoever
// started it, is used. If it isn't ready in time it is ended, and the error has the
// end of its output.
func (p *Process) Start(ctx context.Context) (err error) {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return fmt.Errorf("start %s: %w", p.name(), err)
	}
	unlock, err := Lock(ctx, filepath.Join(p.Dir, startLock))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := p.spawn(ctx); err != nil {
		return fmt.Errorf("start %s: %w", p.name(), err)
	}
	if err := p.awaitReady(ctx); err != nil {
		err = fmt.Errorf("start %s: %w\n%s", p.name(), err, p.lastWords())
		return errors.Join(err, p.Kill(context.WithoutCancel(ctx)))
	}
	return nil
}

// spawn starts the process unless it runs. The child inherits the open pid file and
// thereby the lock on it, which the system releases when the child is gone.
func (p *Process) spawn(ctx context.Context) (err error) {
	f, err := os.OpenFile(filepath.Join(p.Dir, pidFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if locked, err := tryLock(f); err != nil || !locked {
		return err
	}
	out, err := os.OpenFile(filepath.Join(p.Dir, outputFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	// The process is ended by Stop and Kill, not by ctx.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.Command[0], p.Command[1:]...) //nolint:gosec // made by this program
	cmd.Dir, cmd.Env = p.Dir, append(os.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{f}
	ownSession(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(0), writePid(f, cmd.Process.Pid)); err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Process.Release())
	}
	return cmd.Process.Release()
}

func writePid(f io.WriterAt, pid int) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(pid)), 0)
	return err
}

func (p *Process) awaitReady(ctx context.Context) error {
	patience := p.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := p.Ready(ctx)
		if err == nil {
			return nil
		}
		if pid, pidErr := p.Pid(); pidErr != nil || pid == 0 {
			return errors.Join(errExited, pidErr)
		}
		select {
		case <-time.After(readyPoll):
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		}
	}
}

// Pid is the process's id, or 0 if it doesn't run.
func (p *Process) Pid() (int, error) {
	f, err := os.Open(filepath.Join(p.Dir, pidFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	if gone, err := tryLock(f); err != nil || gone {
		return 0, err
	}
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s: %q is no process id", f.Name(), text)
	}
	return pid, nil
}

// Stop asks the process to end, and kills it if that takes too long. It returns when
// it is gone. There being none is no error.
func (p *Process) Stop(ctx context.Context) error {
	if gone, err := p.end(ctx, syscall.SIGTERM, stopGrace); err != nil || gone {
		return err
	}
	return p.Kill(ctx)
}

// Kill kills the process, as a crash would, and returns when it is gone.
func (p *Process) Kill(ctx context.Context) error {
	gone, err := p.end(ctx, syscall.SIGKILL, killGrace)
	if err == nil && !gone {
		err = fmt.Errorf("end %s: it is still there after SIGKILL", p.name())
	}
	return err
}

// Signal sends a signal to the process and all that it has started.
func (p *Process) Signal(s syscall.Signal) error {
	pid, err := p.Pid()
	if err == nil && pid == 0 {
		err = errExited
	}
	if err == nil {
		err = signalSession(pid, s)
	}
	if err != nil {
		return fmt.Errorf("signal %s: %w", p.name(), err)
	}
	return nil
}

func (p *Process) end(ctx context.Context, with syscall.Signal, grace time.Duration) (gone bool, err error) {
	pid, err := p.Pid()
	if err != nil || pid == 0 {
		return true, err
	}
	if err := signalSession(pid, with); err != nil {
		return false, fmt.Errorf("end %s: %w", p.name(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for {
		if now, err := p.Pid(); err != nil || now != pid {
			reap(pid)
			return true, err
		}
		select {
		case <-time.After(readyPoll):
		case <-ctx.Done():
			return false, nil
		}
	}
}

func (p *Process) name() string { return "the server in " + p.Dir }

// lastWords is the end of the process's output.
func (p *Process) lastWords() string {
	text, err := os.ReadFile(filepath.Join(p.Dir, outputFile))
	if err != nil {
		return err.Error()
	}
	return tail(string(text), 30)
}
