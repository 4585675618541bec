package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/client"
	issuer "github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/cmd/deed/api"
	"github.com/deedbroker/deed/cmd/deed/demo"
)

// patience bounds every wait for a child process.
const patience = 90 * time.Second

// home is a $XDG_DATA_HOME in which child processes of this very program run.
type home string

func newHome(t *testing.T) home {
	t.Helper()
	return home(t.TempDir())
}

// data is the demo's directory.
func (h home) data() string { return filepath.Join(string(h), "deed", "demo") }

func (h home) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "deed", args...) // testscript.Main has put it into the PATH
	c.Dir = string(h)
	c.Env = append(os.Environ(), "XDG_DATA_HOME="+string(h), "DEED_URL=", "DEED_TOKEN=", "TZ=UTC")
	return c
}

// run is one verb: its output, what it says beside it, and its exit code.
func (h home) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	c := h.command(ctx, args...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		exited, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatalf("deed %s: %v", strings.Join(args, " "), err)
		}
		code = exited.ExitCode()
	}
	return out.String(), errs.String(), code
}

// must is a verb that succeeds, and whose output has each of the words.
func (h home) must(t *testing.T, args []string, words ...string) string {
	t.Helper()
	out, errs, code := h.run(t, args...)
	if code != 0 {
		t.Fatalf("deed %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			t.Errorf("deed %s: the output has no %q:\n%s", strings.Join(args, " "), w, out)
		}
	}
	return out
}

// process is a deed that stays up.
type process struct {
	home  home
	cmd   *exec.Cmd
	lines chan string // of stdout; closed at its end
	errs  bytes.Buffer
	ended func() error // waits for the end, once

	mu   sync.Mutex
	said strings.Builder // guarded by mu: the lines so far
}

// start starts a verb and reads what it prints. It is killed at the end of the test.
func (h home) start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{home: h, cmd: h.command(context.WithoutCancel(t.Context()), args...), lines: make(chan string, 1000)}
	p.cmd.Stderr = &p.errs
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			p.said.WriteString(s.Text() + "\n")
			p.mu.Unlock()
			p.lines <- s.Text()
		}
	}()
	p.ended = sync.OnceValue(func() error { <-read; return p.cmd.Wait() })
	t.Cleanup(func() { p.kill(t) })
	return p
}

// transcript is everything printed so far.
func (p *process) transcript() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// until waits for a line with word in it, and returns that line.
func (p *process) until(t *testing.T, word string) string {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				err := p.ended()
				t.Fatalf("it ended (%v) before it said %q:\n%s%s", err, word, p.transcript(), p.errs.String())
			}
			if strings.Contains(line, word) {
				return line
			}
		case <-late:
			t.Fatalf("it does not say %q:\n%s", word, p.transcript())
		}
	}
}

// stop ends the process by a signal and returns its exit code, and what it said beside its output.
func (p *process) stop(t *testing.T, signal os.Signal) (int, string) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	if err := p.ended(); err != nil {
		exited, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatal(err)
		}
		return exited.ExitCode(), p.errs.String()
	}
	return 0, p.errs.String()
}

// kill is kill -9, and harmless after the end.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	_ = p.ended() // that it was killed
}

// runningDemo is a demo that runs, and the people and agents who use it.
type runningDemo struct {
	*process
	demo.Ready
	tokens *issuer.Client
	agent  *client.Client // copilot, for alice
	bob    *api.Client
}

// url is the broker's, as --url takes it.
func (b *runningDemo) url() string { return strings.TrimSuffix(b.Console, "/") }

// demo starts `deed demo --json`.
func (h home) demo(t *testing.T) *runningDemo {
	t.Helper()
	return h.demoAt(t, "127.0.0.1:0", "127.0.0.1:0")
}

// again starts it where it was before: people and agents are known by their issuer's URL.
func (b *runningDemo) again(t *testing.T) *runningDemo {
	t.Helper()
	issuer, err := url.Parse(b.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	return b.home.demoAt(t, strings.TrimPrefix(b.url(), "http://"), issuer.Host)
}

func (h home) demoAt(t *testing.T, listen, issuerListen string) *runningDemo {
	t.Helper()
	b := &runningDemo{process: h.start(t, "demo", "--json", "--listen", listen, "--issuer-listen", issuerListen)}
	if err := json.Unmarshal([]byte(b.until(t, "{")), &b.Ready); err != nil {
		t.Fatal(err)
	}
	secrets, err := issuer.LoadSecrets(filepath.Join(h.data(), demo.SecretsFile))
	if err != nil {
		t.Fatal(err)
	}
	if b.tokens, err = issuer.NewClient(t.Context(), secrets, nil); err != nil {
		t.Fatal(err)
	}
	b.bob = api.New(b.url(), b.token("bob"))
	if b.agent, err = client.New(client.Options{URL: b.url(), Token: b.token("alice", issuer.Copilot)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.agent.Close() }) // the broker may be gone
	return b
}

func (b *runningDemo) token(user string, agents ...string) client.TokenFunc {
	return func(ctx context.Context) (string, error) {
		token, err := b.tokens.Token(ctx, issuer.TokenRequest{User: user, Agents: agents})
		if err != nil {
			return "", err
		}
		return string(token.Access), nil
	}
}
