package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/agents/client"
)

const (
	maxInFlight = 256             // requests at once; more wait for their turn to be read
	goodbye     = 2 * time.Second // for telling the broker that the session has ended
)

// Config says between whom the bridge is.
type Config struct {
	Endpoint string           // of the broker: …/mcp, or …/mcp/{upstream}
	Token    client.TokenFunc // required

	// HTTPClient sends the requests; nil is one without a time limit of its own.
	HTTPClient *http.Client
	// Report is told what goes wrong, in a sentence for people. It may be called from
	// several goroutines. Nil drops it.
	Report func(problem string)
}

// Bridge forwards messages. See [New].
type Bridge struct {
	config Config
	http   *http.Client
	out    *output

	work  sync.WaitGroup // requests in flight
	slots chan struct{}

	mu      sync.Mutex
	flights map[string]context.CancelFunc // by request id as sent; guarded by mu
	tools   map[string]*mcp.Tool          // whose arguments go into headers; guarded by mu

	session session
}

// New checks the configuration.
func New(c Config) (*Bridge, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("configure bridge: the endpoint must be http(s)://host[:port]/mcp")
	}
	if c.Token == nil {
		return nil, errors.New("configure bridge: a token is required")
	}
	if c.Report == nil {
		c.Report = func(string) {}
	}
	h := c.HTTPClient
	if h == nil {
		h = &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: maxInFlight,
			ForceAttemptHTTP2:   true,
		}}
	}
	noRedirect := *h
	noRedirect.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Bridge{
		config: c, http: &noRedirect, slots: make(chan struct{}, maxInFlight),
		flights: map[string]context.CancelFunc{}, tools: map[string]*mcp.Tool{},
	}, nil
}

// Run forwards the lines of in until it ends, and then waits for the answers to what
// was asked; or until ctx is done. It is to be called once. When ctx ends first a
// read of in is left behind, which ends with the next line.
func (b *Bridge) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b.out = &output{w: out, failed: stop}
	input := make(chan []byte)
	ended := make(chan error, 1)
	go func() { // it cannot be waited for: nothing interrupts the read of a pipe
		ended <- lines(in, maxMessage, func(line []byte) error {
			select {
			case input <- bytes.Clone(line):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	err := b.forwardAll(ctx, input, ended)
	if err == nil {
		b.work.Wait()
	}
	stop()
	b.work.Wait()
	b.session.listening.Wait()
	b.leave(context.WithoutCancel(ctx))
	if failed := b.out.err(); failed != nil {
		return fmt.Errorf("write output: %w", failed)
	}
	return err
}

func (b *Bridge) forwardAll(ctx context.Context, input <-chan []byte, ended <-chan error) error {
	for {
		select {
		case line := <-input:
			if len(bytes.TrimSpace(line)) > 0 {
				b.forward(ctx, line)
			}
		case err := <-ended:
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("read input: %w", err)
			}
			return nil
		case <-ctx.Done():
			return nil // told to stop, as bridges are
		}
	}
}

// forward sends one message. Requests are answered whenever the broker does;
// what has to keep its order, notifications and the handshake, is waited for.
func (b *Bridge) forward(ctx context.Context, line []byte) {
	m, err := parse(line)
	if err != nil {
		b.config.Report("a line of input is not a JSON-RPC message")
		b.out.write(failure(nil, &client.Error{Kind: client.Invalid, Message: "the line is not a JSON-RPC message"}))
		return
	}
	switch {
	case m.method == "initialize":
		b.initialize(ctx, m)
	case m.isRequest():
		b.start(ctx, m)
	case m.method == "notifications/cancelled" && b.cancel(m):
		// since 2026-07-28 the end of the request tells the broker
	default:
		b.notify(ctx, m)
	}
}

// start sends a request on a goroutine of its own.
func (b *Bridge) start(ctx context.Context, m *message) {
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	key := string(m.id)
	b.mu.Lock()
	b.flights[key] = cancel
	b.mu.Unlock()
	b.work.Go(func() {
		defer func() {
			cancel()
			b.mu.Lock()
			delete(b.flights, key)
			b.mu.Unlock()
			<-b.slots
		}()
		b.answer(ctx, m)
	})
}

// cancel ends the request that m cancels, and tells whether the broker knows by that.
func (b *Bridge) cancel(m *message) bool {
	b.mu.Lock()
	end := b.flights[string(m.requestID)]
	b.mu.Unlock()
	if id, _ := b.session.current(); id != "" || end == nil {
		return false // in a session the broker wants to hear it
	}
	end()
	return true
}

// answer sends a request, and everything that comes of it back.
func (b *Bridge) answer(ctx context.Context, m *message) {
	err := b.exchange(ctx, m)
	if err == nil || ctx.Err() != nil {
		return
	}
	acted := client.Unreachable
	if m.method == string(mcp.MethodToolsCall) {
		acted = client.OutcomeUnknown
	}
	e, ok := errors.AsType[*client.Error](client.Explain(err, acted))
	if !ok {
		e = &client.Error{Kind: client.Internal, Message: "the request failed", Err: err}
	}
	b.config.Report(e.Error())
	b.out.write(failure(m.id, e))
}

// notify sends a message that has no answer.
func (b *Bridge) notify(ctx context.Context, m *message) {
	response, err := b.post(ctx, m)
	if err != nil {
		if ctx.Err() == nil {
			b.config.Report(client.Explain(err, client.Unreachable).Error())
		}
		return
	}
	defer func() { _ = response.Body.Close() }() // nothing in it matters
	if response.StatusCode >= http.StatusMultipleChoices {
		b.config.Report(client.ReadProblem(response).Error())
		return
	}
	if m.method == "notifications/initialized" {
		b.listen(ctx)
	}
}

// post sends a message in the session, if there is one and the message is of it.
func (b *Bridge) post(ctx context.Context, m *message) (*http.Response, error) {
	b.mu.Lock()
	header := m.headers(b.tools)
	b.mu.Unlock()
	header.Set("Content-Type", "application/json")
	header.Set("Accept", "application/json, text/event-stream")
	if !m.modern() && m.method != "initialize" {
		b.session.stamp(header)
	}
	return b.do(ctx, http.MethodPost, header, m.raw)
}

// do sends a request with a token, and with another one if the broker refuses that.
func (b *Bridge) do(ctx context.Context, method string, header http.Header, body []byte) (*http.Response, error) {
	token, err := b.config.Token(ctx)
	if err != nil {
		return nil, client.NoToken(err)
	}
	response, err := b.send(ctx, method, header, body, token)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	// Nothing was done. The token may have been withdrawn, or the broker have other issuers' keys since.
	other, err := b.config.Token(client.WithRefused(ctx, token))
	if err != nil || other == token {
		return response, nil //nolint:nilerr // the refusal says more
	}
	_ = response.Body.Close() // nothing in it matters
	return b.send(ctx, method, header, body, other)
}

func (b *Bridge) send(ctx context.Context, method string, header http.Header, body []byte, token string) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, b.config.Endpoint, content)
	if err != nil {
		return nil, err
	}
	r.Header = header.Clone()
	r.Header.Set("Authorization", "Bearer "+token)
	return b.http.Do(r)
}

// output writes whole lines, one at a time.
type output struct {
	failed func() // called when nobody reads any more

	mu   sync.Mutex
	w    io.Writer // guarded by mu
	lost error     // guarded by mu
}

func (o *output) write(text []byte) {
	line := oneLine(text)
	if len(line) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost != nil {
		return
	}
	if _, err := o.w.Write(append(slices.Clip(line), '\n')); err != nil {
		o.lost = err
		o.failed()
	}
}

func (o *output) err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lost
}

// asJSON is a body as a JSON-RPC message, if it is one.
func asJSON(text []byte) bool {
	var m struct {
		Version string `json:"jsonrpc"`
	}
	return json.Unmarshal(text, &m) == nil && m.Version == "2.0"
}
