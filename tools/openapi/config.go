package openapi

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/deedbroker/deed/tools/credentials"
	"github.com/deedbroker/deed/tools/web"
)

// Defaults of [Config].
const (
	DefaultMaxAnswer = 8 << 20 // bytes
	DefaultRefresh   = 5 * time.Minute

	maxDocument = 8 << 20 // bytes
	maxFault    = 300     // bytes of what is wrong with it
	loadTimeout = 30 * time.Second
)

// Config is an HTTP service that describes itself by OpenAPI 3.
type Config struct {
	Document string // URL or path of the OpenAPI document

	// Base is where the service is. Left out, it is the first server of the document, which
	// has to be where the document is, if that is a URL.
	Base string

	Operations Selection

	// Headers go with each request: the broker's own, never a caller's.
	Headers map[string]string

	// Credentials prove the broker, or the caller, to the service; nil: nothing does but Headers.
	Credentials credentials.Source
	// CredentialHeader is where they are shown: as a bearer token if it is empty.
	CredentialHeader string

	// TLS and dialling are the transport's; nil means the standard one.
	Transport *http.Transport

	MaxAnswer int           // bytes of an answer; 0 means DefaultMaxAnswer
	Refresh   time.Duration // between readings of the document; 0 means DefaultRefresh
	Logger    *slog.Logger  // is told of the operations that are left out; nil discards
}

// New returns an upstream that reads the document for each Run.
func New(c Config) (*Upstream, error) {
	u := &Upstream{cfg: c, trouble: errNotRead}
	if err := u.complete(); err != nil {
		return nil, fmt.Errorf("configure OpenAPI upstream: %w", err)
	}
	return u, nil
}

func (u *Upstream) complete() (err error) {
	c := &u.cfg
	switch {
	case c.MaxAnswer < 0 || c.Refresh < 0:
		return errors.New("limits cannot be negative")
	case c.Document == "":
		return errors.New("a document is needed")
	}
	if c.MaxAnswer == 0 {
		c.MaxAnswer = DefaultMaxAnswer
	}
	if c.Refresh == 0 {
		c.Refresh = DefaultRefresh
	}
	if c.Transport == nil {
		c.Transport = web.Transport()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Headers = maps.Clone(c.Headers)
	if u.document, err = place(c.Document); err != nil {
		return fmt.Errorf("document: %w", err)
	}
	if c.Base != "" {
		if u.base, err = baseURL(c.Base); err != nil {
			return fmt.Errorf("base URL: %w", err)
		}
	}
	return c.Operations.check()
}

// place is a URL of scheme http, https or file.
func place(document string) (*url.URL, error) {
	if strings.Contains(document, "://") {
		return web.Parse(document)
	}
	path, err := filepath.Abs(document)
	if err != nil {
		return nil, err
	}
	return &url.URL{Scheme: "file", Path: filepath.ToSlash(path)}, nil
}

func baseURL(text string) (*url.URL, error) {
	u, err := web.Parse(text)
	if err != nil {
		return nil, err
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("it has a query or a fragment")
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	return u, nil
}
