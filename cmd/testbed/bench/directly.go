package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// modernMeta is what a request of revision 2026-07-28 says of who sends it.
const modernMeta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`

var errNoAnswer = errors.New("it does not answer")

// pipe is a server over stdio that several callers share, as they do behind a broker.
type pipe struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	read  chan error // ends when the server's output does

	mu      sync.Mutex // one message at a time, and:
	last    int
	waiting map[int]chan []byte
}

// pipeCallers starts the stdio server.
func (o *options) pipeCallers(ctx context.Context, n int) ([]caller, func() error, error) {
	args := append(append([]string{}, o.child[1:]...), subjectEcho)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), o.child[0], args...) //nolint:gosec // this very program
	cmd.Stderr = os.Stderr
	p := &pipe{cmd: cmd, read: make(chan error, 1), waiting: map[int]chan []byte{}}
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	go func() { p.read <- p.listen(stdout) }()
	var all []caller
	for range n {
		all = append(all, p)
	}
	return all, func() error { return errors.Join(p.stdin.Close(), <-p.read, waitFor(cmd)) }, nil
}

// listen hands each answer to the caller that waits for it.
func (p *pipe) listen(stdout io.Reader) error {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var head struct {
			ID int `json:"id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
			return err
		}
		p.mu.Lock()
		answer := p.waiting[head.ID]
		delete(p.waiting, head.ID)
		p.mu.Unlock()
		if answer != nil {
			answer <- bytes.Clone(lines.Bytes())
		}
	}
	return lines.Err()
}

func (p *pipe) call() error {
	answer := make(chan []byte, 1)
	p.mu.Lock()
	p.last++
	text := textOf(p.last)
	p.waiting[p.last] = answer
	_, err := io.WriteString(p.stdin, callOf(p.last, toolName, `{"text":"`+text+`"}`, modernMeta)+"\n")
	p.mu.Unlock()
	if err != nil {
		return err
	}
	timer := time.NewTimer(callTimeout)
	defer timer.Stop()
	select {
	case got := <-answer:
		return right(got, text)
	case <-timer.C:
		return errNoAnswer
	}
}

func (p *pipe) close() error { return nil } // all of them end together

func right(body []byte, text string) error {
	if !bytes.Contains(body, []byte(text)) || isError(body) {
		return fmt.Errorf("call was answered with %s", body)
	}
	return nil
}

// stream is a connection of revision 2024-11-05: requests are posted, answers come on a stream of events.
type stream struct {
	*wire

	events *wire
	body   *bufio.Reader
}

// streamCallers connect to the server at base/sse.
func streamCallers(base string) func(context.Context, int) ([]caller, func() error, error) {
	return func(ctx context.Context, n int) ([]caller, func() error, error) {
		var all []caller
		for range n {
			s, err := openStream(ctx, base)
			if err != nil {
				return nil, nil, errors.Join(err, closeAll(all))
			}
			all = append(all, s)
		}
		return all, func() error { return closeAll(all) }, nil
	}
}

func openStream(ctx context.Context, base string) (_ *stream, err error) {
	events, err := dial(ctx, &subject{url: base + "/sse"}, generations()[1])
	if err != nil {
		return nil, err
	}
	s := &stream{events: events}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if _, err = io.WriteString(events.conn, "GET /sse HTTP/1.1\r\nHost: "+strings.TrimPrefix(base, "http://")+"\r\nAccept: text/event-stream\r\n\r\n"); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(events.reader, nil) //nolint:bodyclose // it lasts as long as the connection
	if err != nil {
		return nil, err
	}
	s.body = bufio.NewReader(response.Body)
	endpoint, err := s.event()
	if err != nil {
		return nil, err
	}
	if s.wire, err = dial(ctx, &subject{url: base + "/message", tool: toolName}, generations()[1]); err != nil {
		return nil, err
	}
	path := strings.TrimPrefix(strings.TrimSpace(string(endpoint)), base)
	s.head = "POST " + path + " HTTP/1.1\r\nHost: " + strings.TrimPrefix(base, "http://") + "\r\nContent-Type: application/json\r\n"
	for _, message := range []string{
		`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
	} {
		if _, err = s.exchange(message); err != nil {
			return nil, err
		}
	}
	_, err = s.event()
	return s, err
}

// event is the data of the next one.
func (s *stream) event() ([]byte, error) {
	if err := s.events.conn.SetReadDeadline(time.Now().Add(callTimeout)); err != nil {
		return nil, err
	}
	for {
		line, err := s.body.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			return data, nil
		}
	}
}

func (s *stream) call() error {
	s.last++
	text := textOf(s.last)
	a, err := s.exchange(callOf(s.last, toolName, `{"text":"`+text+`"}`, ""))
	if err != nil {
		return err
	}
	if a.status != http.StatusAccepted {
		return fmt.Errorf("call was answered with %d: %s", a.status, a.body)
	}
	got, err := s.event()
	if err != nil {
		return err
	}
	return right(got, text)
}

func (s *stream) close() error {
	err := s.events.conn.Close()
	if s.wire != nil {
		err = errors.Join(err, s.conn.Close())
	}
	return err
}

// rest is a connection to a plain HTTP service.
type rest struct {
	*wire

	host string
}

func restCallers(base string) func(context.Context, int) ([]caller, func() error, error) {
	return func(ctx context.Context, n int) ([]caller, func() error, error) {
		var all []caller
		for range n {
			w, err := dial(ctx, &subject{url: base + "/echo"}, generations()[1])
			if err != nil {
				return nil, nil, errors.Join(err, closeAll(all))
			}
			all = append(all, &rest{w, strings.TrimPrefix(base, "http://")})
		}
		return all, func() error { return closeAll(all) }, nil
	}
}

func (r *rest) call() error {
	r.last++
	text := textOf(r.last)
	r.head = "GET /echo?text=" + text + " HTTP/1.1\r\nHost: " + r.host + "\r\n"
	a, err := r.exchange("")
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return errors.New("call was answered with status " + strconv.Itoa(a.status))
	}
	return right(a.body, text)
}
