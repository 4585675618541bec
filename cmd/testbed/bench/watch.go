package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// goodbye is how long a stream may take to end.
const goodbye = 5 * time.Second

// watchers is the process in which viewers read.
type watchers struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Reader
}

// watchOrder is what the process is told.
type watchOrder struct {
	URL     string   `json:"url"`
	Tokens  []string `json:"tokens"`
	Viewers int      `json:"viewers"`
}

// startWatchers starts viewers, and waits until all of them are connected.
func (o *options) startWatchers(ctx context.Context, s *subject, n int) (_ *watchers, err error) {
	u, err := url.Parse(s.url)
	if err != nil {
		return nil, err
	}
	order := watchOrder{URL: "http://" + u.Host, Viewers: n}
	for i := 0; i < n; i += perPerson {
		token, err := s.person("viewer-" + strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		order.Tokens = append(order.Tokens, token)
	}
	args := append(slices.Clip(o.child[1:]), subjectWatch)
	cmd := exec.CommandContext(context.WithoutCancel(ctx), o.child[0], args...) //nolint:gosec // this very program
	cmd.Stderr = os.Stderr
	w := &watchers{cmd: cmd}
	if w.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.lines = bufio.NewReader(stdout)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err = json.NewEncoder(w.stdin).Encode(order)
	if err == nil {
		_, err = w.lines.ReadString('\n')
	}
	if err != nil {
		return nil, fmt.Errorf("viewers did not connect: %w", errors.Join(err, w.stdin.Close(), waitFor(cmd)))
	}
	return w, nil
}

// end disconnects the viewers, and says how much they read.
func (w *watchers) end() (int64, error) {
	err := w.stdin.Close()
	line, readErr := w.lines.ReadString('\n')
	n, parseErr := strconv.ParseInt(line[:max(0, len(line)-1)], 10, 64)
	return n, errors.Join(err, readErr, parseErr, waitFor(w.cmd))
}

// watch is the other side: it says when all are connected, and how many bytes they had
// read once its input ends. Viewers answer no pings, and so are good for a minute.
func watch(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	in := bufio.NewReader(stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("bench: read order: %w", err)
	}
	var order watchOrder
	if err := json.Unmarshal(line, &order); err != nil {
		return fmt.Errorf("bench: read order: %w", err)
	}
	var total atomic.Int64
	conns := make([]*net.TCPConn, order.Viewers)
	connecting, joined := errgroup.WithContext(ctx)
	connecting.SetLimit(16)
	for i := range conns {
		connecting.Go(func() (err error) {
			conns[i], err = join(joined, order.URL, order.Tokens[i/perPerson])
			return err
		})
	}
	if err := connecting.Wait(); err != nil {
		return fmt.Errorf("bench: connect viewer: %w", err)
	}
	var reading errgroup.Group
	for _, c := range conns {
		reading.Go(func() error {
			n, err := io.Copy(io.Discard, c)
			total.Add(n)
			return err
		})
	}
	if _, err := fmt.Fprintln(stdout, "connected"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in) // until the input ends
	for _, c := range conns {        // what is on its way is read to its end
		err = errors.Join(err, c.CloseWrite(), c.SetReadDeadline(time.Now().Add(goodbye)))
	}
	_ = reading.Wait() // a stream that does not end is closed all the same
	for _, c := range conns {
		err = errors.Join(err, c.Close())
	}
	if _, printed := fmt.Fprintln(stdout, total.Load()); printed != nil {
		return printed
	}
	return err
}

// join opens a stream.
func join(ctx context.Context, base, token string) (*net.TCPConn, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	dialed, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	conn, ok := dialed.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(errors.New("it is no TCP connection"), dialed.Close())
	}
	_, err = fmt.Fprintf(conn, "GET /v1/stream?batch=1 HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", u.Host, token)
	if err == nil {
		var resp *http.Response
		if resp, err = http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			_ = resp.Body.Close() // there is none
			if resp.StatusCode != http.StatusSwitchingProtocols {
				err = fmt.Errorf("the stream is answered by %s", resp.Status)
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
