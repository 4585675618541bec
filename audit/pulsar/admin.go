package pulsar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar/hosts"
)

// admin asks Pulsar's admin API.
type admin struct {
	url  string
	http *http.Client
}

func newAdmin(url string, c *credentials) (*admin, error) {
	client := c.http()
	base, whichever, err := hosts.New(url, client.Transport)
	if err != nil {
		return nil, fmt.Errorf("admin API of Pulsar: %w", err)
	}
	client.Transport = whichever
	return &admin{url: base, http: client}, nil
}

// maxAnswer bounds an answer of the admin API.
const maxAnswer = 8 << 20

// StatusError is an answer of the admin API that isn't success.
type StatusError struct {
	Method, Path string
	Status       int
	Reason       string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %s", e.Method, e.Path, e.Status, e.Reason)
}

// do asks one question; the answer's JSON, if there is any, is decoded into answer.
func (a *admin) do(ctx context.Context, method, path string, answer any) error {
	_, err := a.ask(ctx, method, path, answer)
	return err
}

// ask is do; it also returns what time it is for whoever answers.
func (a *admin) ask(ctx context.Context, method, path string, answer any) (now time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, method, a.url+"/admin/v2/"+path, nil)
	if err != nil {
		return now, err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return now, fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return now, fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return now, refusal(&StatusError{Method: method, Path: path, Status: resp.StatusCode, Reason: reasonIn(body)})
	}
	if now, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		now = time.Now() // it does not say
	}
	if answer == nil {
		return now, nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return now, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return now, nil
}

// refusal says what a status means for whoever wants to use the log.
func refusal(e *StatusError) error {
	switch e.Status {
	case http.StatusNotFound:
		return fmt.Errorf("%w: %w", audit.ErrNotFound, e)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: %w: %w", audit.ErrUnavailable, ErrNotPermitted, e)
	default:
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, e)
	}
}

func reasonIn(body []byte) string {
	var said struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(body, &said) == nil && said.Reason != "" {
		body = []byte(said.Reason)
	}
	return strings.ToValidUTF8(string(body[:min(len(body), 300)]), "")
}

// path is that of a topic in the admin API.
func (p place) path() string { return strings.Replace(p.name, "://", "/", 1) }

// stats is what a role that may use a topic may also know of it.
type stats struct {
	Deduplication string      `json:"deduplicationStatus"`
	Publishers    []publisher `json:"publishers"`
}

// checkDeduplication refuses a topic on which events could be stored twice, or
// payloads be lost.
func (a *admin) checkDeduplication(ctx context.Context, p place, wanted bool) error {
	var s stats
	if err := a.do(ctx, http.MethodGet, p.path()+"/stats", &s); err != nil {
		return fmt.Errorf("look at %s: %w", p.name, err)
	}
	enabled := s.Deduplication == "Enabled"
	if enabled == wanted {
		return nil
	}
	want := "off"
	if wanted {
		want = "on"
	}
	return fmt.Errorf("%w: deduplication of %s is %q and must be %s: run `deed topics apply`", audit.ErrUnavailable, p.name, s.Deduplication, want)
}
