package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/mark3labs/mcp-go/client/transport"
)

// StdioConfig is an MCP server that is started as a child process.
type StdioConfig struct {
	Command string
	Args    []string
	Dir     string // its working directory; empty: the broker's

	// Env is added to the child's environment, which otherwise holds only PATH, HOME,
	// LANG and TMPDIR of the broker's.
	Env map[string]string

	Resources Resources    // that it may use
	MaxAnswer int          // bytes of one message of the server; 0 means DefaultMaxAnswer
	Logger    *slog.Logger // its standard error goes there at level debug; nil discards
}

// NewStdio returns an upstream that starts a process for each Run, and ends it, and
// all that it started in its process group, when Run returns.
func NewStdio(c StdioConfig) (*Server, error) {
	if c.Command == "" {
		return nil, errors.New("configure stdio upstream: a command is needed")
	}
	if c.MaxAnswer < 0 || c.Resources.negative() {
		return nil, errors.New("configure stdio upstream: the largest answer and resources cannot be negative")
	}
	if err := c.Resources.supported(); err != nil {
		return nil, fmt.Errorf("configure stdio upstream: %w", err)
	}
	if c.MaxAnswer == 0 {
		c.MaxAnswer = DefaultMaxAnswer
	}
	c.Logger = orDiscard(c.Logger)
	s := newServer(0)
	// Some old servers die of the first request of the new revisions: after a failed
	// handshake the next is an old one, and so on in turn.
	legacy := false
	s.connect = func(ctx context.Context, changed func()) (*session, error) {
		now, err := connectStdio(ctx, c, legacy, changed)
		if err != nil {
			legacy = !legacy
		}
		return now, err
	}
	return s, nil
}

func connectStdio(ctx context.Context, c StdioConfig, legacy bool, changed func()) (*session, error) {
	p, err := startProcess(ctx, c)
	if err != nil {
		return nil, err
	}
	s := newSession()
	in := &requestWriter{file: p.stdin, lost: s.lose}
	out := &messageReader{file: p.stdout, left: c.MaxAnswer, most: c.MaxAnswer, lost: func(reason error) {
		if errors.Is(reason, errClosedOutput) && p.ends(graceAfterOutput) {
			reason = p.reason() // which tells more
		}
		s.lose(reason)
	}}
	t := transport.NewIO(out, in, nil)
	transport.WithCommandLogger(slog.New(slog.DiscardHandler))(t) // it logs what the server sends
	s.link = pipeLink(in)
	ctx, end := context.WithCancel(ctx)
	var listening sync.WaitGroup
	s.release = func() {
		end()
		p.stop()
		_ = t.Close() // closes only the pipe that is closed already
		listening.Wait()
	}
	// A process that dies while shaking hands ends the handshake, too.
	early, stop := context.WithCancel(ctx)
	listening.Go(func() {
		select {
		case <-p.exited:
			s.lose(p.reason())
		case <-ctx.Done():
		}
		stop()
	})
	tells, err := s.shake(early, t, stdioStart, legacy, changed)
	if err != nil {
		err = errors.Join(err, s.cause())
		s.close(ctx)
		return nil, err
	}
	if tells && !legacyRevision(s.version) {
		listening.Go(func() { s.listen(early) })
	}
	return s, nil
}
