package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/agents/client"
)

var errNoAnswer = errors.New("the stream ended without an answer")

// session is what the revisions before 2026-07-28 have between requests.
type session struct {
	listening sync.WaitGroup // the stream of notifications
	renewing  sync.Mutex     // held while a lost session is opened again

	mu      sync.Mutex
	id      string   // guarded by mu
	version string   // that was agreed on; guarded by mu
	first   *message // the client's initialize; guarded by mu
	listens bool     // guarded by mu
}

func (s *session) current() (id, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id, s.version
}

func (s *session) set(id, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.version = id, version
}

func (s *session) stamp(h http.Header) {
	id, version := s.current()
	if id != "" {
		h.Set(mcp.HeaderSessionID, id)
	}
	if version != "" {
		h.Set(mcp.HeaderProtocolVersion, version)
	}
}

// initialize opens the session that the client asks for, and waits for it.
func (b *Bridge) initialize(ctx context.Context, m *message) {
	b.session.mu.Lock()
	b.session.first = m
	b.session.mu.Unlock()
	b.answer(ctx, m)
}

// exchange sends a request and forwards what comes back, the answer at last. A
// session that the broker does not know any more is opened again first, once.
func (b *Bridge) exchange(ctx context.Context, m *message) error {
	used, _ := b.session.current()
	response, err := b.post(ctx, m)
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusNotFound && used != "" && !m.modern() && m.method != "initialize" {
		_ = response.Body.Close() // nothing in it matters
		if err := b.renew(ctx, used); err != nil {
			return err
		}
		if response, err = b.post(ctx, m); err != nil {
			return err
		}
	}
	defer func() { _ = response.Body.Close() }() // it has been read as far as it matters
	if m.method == "initialize" {
		b.session.set(response.Header.Get(mcp.HeaderSessionID), "")
	}
	return b.relay(m, response, b.out.write)
}

// relay gives the messages of a response to write.
func (b *Bridge) relay(m *message, response *http.Response, write func([]byte)) error {
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		media = ""
	}
	switch media {
	case "text/event-stream":
		answered := false
		err := events(response.Body, func(data []byte) error {
			if isAnswer(data, m.id) {
				answered = true
				b.learn(m, data)
			}
			write(data)
			return nil
		})
		if answered {
			return nil
		}
		return errors.Join(err, errNoAnswer)
	case "application/json":
		text, err := io.ReadAll(io.LimitReader(response.Body, maxMessage))
		if err != nil {
			return err
		}
		if !asJSON(text) {
			return &client.Error{Kind: client.Internal, Message: "the answer is not of the protocol"}
		}
		b.learn(m, text)
		write(text)
		return nil
	default:
		return client.ReadProblem(response)
	}
}

// learn keeps what later requests need to know.
func (b *Bridge) learn(m *message, answer []byte) {
	switch m.method {
	case "initialize":
		var r struct {
			Result struct {
				Version string `json:"protocolVersion"`
			} `json:"result"`
		}
		if json.Unmarshal(answer, &r) == nil {
			id, _ := b.session.current()
			b.session.set(id, r.Result.Version)
		}
	case string(mcp.MethodToolsList):
		b.mu.Lock()
		defer b.mu.Unlock()
		maps.Copy(b.tools, listed(answer))
	}
}

// renew opens the session again in place of the one called lost, unless that has been
// done meanwhile.
func (b *Bridge) renew(ctx context.Context, lost string) error {
	b.session.renewing.Lock()
	defer b.session.renewing.Unlock()
	if id, _ := b.session.current(); id != lost {
		return nil
	}
	b.session.mu.Lock()
	first := b.session.first
	b.session.mu.Unlock()
	if first == nil {
		return &client.Error{Kind: client.Invalid, Message: "the session has ended"}
	}
	b.config.Report("the broker does not know the session any more; opening it again")
	response, err := b.post(ctx, first)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it has been read as far as it matters
	if response.StatusCode != http.StatusOK {
		return client.ReadProblem(response)
	}
	b.session.set(response.Header.Get(mcp.HeaderSessionID), "")
	if err := b.relay(first, response, func([]byte) {}); err != nil {
		return fmt.Errorf("open session again: %w", err)
	}
	ready, err := parse([]byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`))
	if err != nil {
		return err // of a constant
	}
	b.notify(ctx, ready)
	return nil
}

// listen follows the session's stream of notifications, for as long as there is one.
func (b *Bridge) listen(ctx context.Context) {
	b.session.mu.Lock()
	begin := !b.session.listens && b.session.id != ""
	b.session.listens = b.session.listens || begin
	b.session.mu.Unlock()
	if !begin {
		return
	}
	b.session.listening.Go(func() {
		delays := backoff.NewExponentialBackOff()
		for ctx.Err() == nil {
			opened, err := b.stream(ctx)
			if errors.Is(err, errNoStream) {
				return
			}
			if opened {
				delays.Reset()
			}
			wait := time.NewTimer(delays.NextBackOff())
			select {
			case <-wait.C:
			case <-ctx.Done():
				wait.Stop()
			}
		}
	})
}

var errNoStream = errors.New("the broker has no stream to listen to")

// stream listens once, until the stream ends.
func (b *Bridge) stream(ctx context.Context) (opened bool, err error) {
	header := http.Header{"Accept": {"text/event-stream"}}
	used, _ := b.session.current()
	b.session.stamp(header)
	response, err := b.do(ctx, http.MethodGet, header, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	switch response.StatusCode {
	case http.StatusOK:
		return true, events(response.Body, func(data []byte) error {
			b.out.write(data)
			return nil
		})
	case http.StatusMethodNotAllowed:
		return false, errNoStream
	case http.StatusNotFound:
		return false, b.renew(ctx, used)
	default:
		return false, client.ReadProblem(response)
	}
}

// leave tells the broker that the session has ended.
func (b *Bridge) leave(ctx context.Context) {
	if id, _ := b.session.current(); id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	header := http.Header{}
	b.session.stamp(header)
	if response, err := b.do(ctx, http.MethodDelete, header, nil); err == nil {
		_ = response.Body.Close() // a broker that is gone has forgotten the session anyway
	}
}
