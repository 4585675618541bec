package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// generation is a way of speaking MCP over HTTP.
type generation struct {
	version string
	modern  bool // stateless: version and capabilities in each request, no session
}

func generations() []generation {
	return []generation{{version: "2025-11-25"}, {version: "2026-07-28", modern: true}}
}

const (
	callTimeout = 30 * time.Second
	maxResponse = 1 << 20
	// padding makes the argument as long as a short one of real tools.
	padding = "................................................................................................"
)

// wire is one connection that makes one call after the other. It writes requests
// itself: the load must cost little beside what is measured.
type wire struct {
	conn    net.Conn
	reader  *bufio.Reader
	subject *subject
	speaks  generation
	head    string // request line and headers, up to the length
	session string
	meta    string // of params, with a comma before it
	last    int
	buffer  bytes.Buffer
}

// dial connects and, in the older generation, opens a session.
func dial(ctx context.Context, s *subject, g generation) (*wire, error) {
	u, err := url.Parse(s.url)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	w := &wire{conn: conn, reader: bufio.NewReader(conn), subject: s, speaks: g}
	w.head = "POST " + u.Path + " HTTP/1.1\r\nHost: " + u.Host +
		"\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream" +
		"\r\nMcp-Protocol-Version: " + g.version + "\r\n"
	if s.token != "" {
		w.head += "Authorization: Bearer " + s.token + "\r\n"
	}
	if g.modern {
		w.meta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"` + g.version +
			`","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
		w.head += "Mcp-Method: tools/call\r\nMcp-Name: " + s.tool + "\r\n"
		return w, nil
	}
	if err := w.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open a session: %w", err), conn.Close())
	}
	return w, nil
}

func (w *wire) open() error {
	a, err := w.exchange(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"` + w.speaks.version +
		`","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK || !bytes.Contains(a.body, []byte(`"protocolVersion":"`+w.speaks.version+`"`)) {
		return fmt.Errorf("initialize was answered with %d: %s", a.status, a.body)
	}
	if id := a.header.Get("Mcp-Session-Id"); id != "" {
		w.session = id
		w.head += "Mcp-Session-Id: " + id + "\r\n"
	}
	a, err = w.exchange(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if err != nil {
		return err
	}
	if a.status != http.StatusAccepted {
		return fmt.Errorf("initialized was answered with %d: %s", a.status, a.body)
	}
	return nil
}

// close ends the session and the connection.
func (w *wire) close() error {
	if w.session == "" {
		return w.conn.Close()
	}
	w.head = strings.Replace(w.head, "POST ", "DELETE ", 1)
	_, err := w.exchange("")
	return errors.Join(err, w.conn.Close())
}

// call makes one call and checks that its own text came back as a result.
func (w *wire) call() error {
	w.last++
	text := textOf(w.last)
	arguments := `{"text":"` + text + `"}`
	if f := w.subject.fixed; f != nil {
		text, arguments = f.says, f.arguments
	}
	a, err := w.exchange(callOf(w.last, w.subject.tool, arguments, w.meta))
	if err != nil {
		return err
	}
	if a.status != http.StatusOK || !bytes.Contains(a.body, []byte(text)) || isError(a.body) {
		return fmt.Errorf("call was answered with %d: %s", a.status, a.body)
	}
	return nil
}

// textOf is what the n-th call of a connection is to be answered with.
func textOf(n int) string { return "call-" + strconv.Itoa(n) + "-" + padding }

// callOf is a request for a call; meta is of its params, with a comma before it.
func callOf(id int, tool, arguments, meta string) string {
	return `{"jsonrpc":"2.0","id":` + strconv.Itoa(id) + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + meta + `}}`
}

// isError looks closer only at answers that may be one: parsing costs.
func isError(body []byte) bool {
	if !bytes.Contains(body, []byte(`"isError"`)) && !bytes.Contains(body, []byte(`"error"`)) {
		return false
	}
	if _, data, isStream := bytes.Cut(body, []byte("data: ")); isStream {
		body, _, _ = bytes.Cut(data, []byte("\n"))
	}
	var answer struct {
		Error  json.RawMessage `json:"error"`
		Result struct {
			IsError bool `json:"isError"`
		} `json:"result"`
	}
	err := json.Unmarshal(body, &answer)
	return err != nil || answer.Error != nil || answer.Result.IsError
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (w *wire) exchange(body string) (answer, error) {
	if err := w.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return answer{}, err
	}
	w.buffer.Reset()
	w.buffer.WriteString(w.head)
	w.buffer.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
	w.buffer.WriteString(body)
	if _, err := w.conn.Write(w.buffer.Bytes()); err != nil {
		return answer{}, err
	}
	response, err := http.ReadResponse(w.reader, nil)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	return answer{response.StatusCode, response.Header, text}, errors.Join(err, response.Body.Close())
}
