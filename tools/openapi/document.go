package openapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/deedbroker/deed/tools/web"
)

var errElsewhere = errors.New("its server is not where the document is; name it by base_url")

// load reads the document, and gives before where that has not changed.
func (u *Upstream) load(ctx context.Context, before *service) (*service, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	tag := ""
	if before != nil {
		tag = before.tag
	}
	text, tag, err := u.fetch(ctx, tag)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	case text == nil && before != nil:
		return before, nil
	}
	digest := sha256.Sum256(text)
	if before != nil && before.digest == digest {
		return before, nil
	}
	s, err := u.understand(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("understand the OpenAPI document: %w", err)
	}
	s.tag, s.digest = tag, digest
	return s, nil
}

// fetch gets the document's text; nil if it still is the one with the entity tag.
func (u *Upstream) fetch(ctx context.Context, tag string) (text []byte, newTag string, err error) {
	if u.document.Scheme == "file" {
		f, err := os.Open(u.document.Path)
		if err != nil {
			return nil, "", err
		}
		defer f.Close() //nolint:errcheck // only read
		text, err = bounded(f)
		return text, "", err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.document.String(), nil)
	if err != nil {
		return nil, "", errors.New("its URL is not valid")
	}
	r.Header.Set("Accept", "application/vnd.oai.openapi+json, application/json, application/yaml, */*;q=0.1")
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	client := &http.Client{Transport: u.cfg.Transport, CheckRedirect: web.SameHost(u.document)}
	if u.base == nil || web.Within(u.base, u.document) { // elsewhere the credentials are not meant for
		u.sign(r)
		client.Transport = u.authorized()
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, "", web.Plain(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	switch response.StatusCode {
	case http.StatusNotModified:
		return nil, tag, nil
	case http.StatusOK:
		text, err = bounded(response.Body)
		return text, response.Header.Get("ETag"), err
	default:
		return nil, "", fmt.Errorf("the answer is HTTP status %d", response.StatusCode)
	}
}

// bounded reads all of a document; it is never nil without an error.
func bounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxDocument:
		return nil, fmt.Errorf("it is larger than %d bytes", maxDocument)
	default:
		return append([]byte{}, text...), nil
	}
}

// understand makes operations of a document. References lead into the document alone.
func (u *Upstream) understand(ctx context.Context, text []byte) (*service, error) {
	loader := openapi3.NewLoader()
	loader.Context = ctx
	doc, err := loader.LoadFromData(text)
	if err != nil {
		if refused, ok := errors.AsType[*openapi3.DisallowedExternalRefError](err); ok {
			return nil, fmt.Errorf("it refers to %.100q, which is another document; bundle them into one", refused.Ref)
		}
		return nil, errors.New("it is not valid: " + strings.ToValidUTF8(err.Error()[:min(len(err.Error()), maxFault)], ""))
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.") {
		return nil, fmt.Errorf("its version is %.20q; 3.0 and newer are understood", doc.OpenAPI)
	}
	s := &service{base: u.base}
	if s.base == nil {
		if s.base, err = u.server(doc); err != nil {
			return nil, err
		}
	}
	s.operations, err = u.operations(ctx, doc)
	return s, err
}

// server is where the document says that its service is.
func (u *Upstream) server(doc *openapi3.T) (*url.URL, error) {
	text := "/" // as the specification has it
	if len(doc.Servers) > 0 {
		text = doc.Servers[0].URL
		for name, v := range doc.Servers[0].Variables {
			text = strings.ReplaceAll(text, "{"+name+"}", v.Default)
		}
	}
	at, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL of its server is not valid; name it by base_url")
	}
	at = u.document.ResolveReference(at)
	base, err := baseURL(at.String())
	switch {
	case err != nil:
		return nil, fmt.Errorf("its server: %w; name it by base_url", err)
	case u.document.Scheme != "file" && !web.Within(u.document, base):
		return nil, errElsewhere
	default:
		return base, nil
	}
}
