package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/deedbroker/deed/agents/reach"
	"github.com/deedbroker/deed/tools/web"
)

// errAbsent is that there are no metadata at a place where there might have been some.
var errAbsent = errors.New("nothing is there")

// worded is an error with words of a stranger, which the operator who logs in is told and nobody else:
// what an upstream wrote is not in its health.
type worded struct {
	err   error
	words string
}

// Error is the error without the words.
func (w *worded) Error() string { return w.err.Error() }

// Unwrap is the error without the words.
func (w *worded) Unwrap() error { return w.err }

// told is err with the words of strangers, safe for a terminal.
func told(err error) error {
	if w, ok := errors.AsType[*worded](err); ok {
		return fmt.Errorf("%w (%q)", err, printable(w.words))
	}
	return err
}

// fetch reads a JSON document. Its errors quote nothing of what was answered.
func (c *Client) fetch(ctx context.Context, at string, into any) (err error) {
	defer func() {
		if err != nil && !errors.Is(err, errAbsent) {
			err = &worded{fmt.Errorf("read metadata: %w", err), at}
		}
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return errors.New("it is no URL")
	}
	r.Header.Set("Accept", "application/json")
	response, err := c.http.Do(r)
	if err != nil {
		return web.Plain(err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")) // none if it is malformed
	switch {
	case response.StatusCode >= 400 && response.StatusCode < 500:
		return errAbsent
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("it answered with HTTP status %d", response.StatusCode)
	case kind != "application/json":
		return errors.New("it is not JSON by its content type")
	}
	text, err := io.ReadAll(response.Body) // bounded by package reach
	if err != nil {
		return web.Plain(err)
	}
	if json.Unmarshal(text, into) != nil {
		return errors.New("it cannot be read")
	}
	return nil
}

// first reads the first of several documents that is there.
func first(places []string, read func(at string) error) error {
	for _, at := range places {
		if err := read(at); !errors.Is(err, errAbsent) {
			return err
		}
	}
	return errAbsent
}

// wellKnown inserts a well-known name before the path of a URL (RFC 9728 section 3.1).
func wellKnown(u *url.URL, name string) string {
	at := url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/.well-known/" + name}
	if path := strings.TrimPrefix(u.Path, "/"); path != "" {
		at.Path += "/" + path
	}
	return at.String()
}

// endpoint checks an address that metadata name.
func endpoint(what, text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return fmt.Errorf("the %s is no URL", what)
	}
	u.RawQuery, u.ForceQuery = "", false // an endpoint may have parameters of its own (RFC 6749 section 3.1)
	if err := reach.CheckURL(u.String()); err != nil {
		return fmt.Errorf("the %s cannot be used: %w", what, err)
	}
	return nil
}
