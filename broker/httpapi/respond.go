package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// List is a page of a list.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"` // the cursor of the next page; absent at the end
}

// encoding writes what others wrote as they wrote it, as far as it is JSON.
func encoding() json.Options {
	return json.JoinOptions(json.Deterministic(true), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true),
		jsontext.PreserveRawStrings(true))
}

func write(w http.ResponseWriter, status int, mediaType string, v any) {
	body, err := json.Marshal(v, encoding())
	if err != nil { // a raw value that is not JSON
		status, mediaType = http.StatusInternalServerError, "application/problem+json"
		body = []byte(`{"type":"about:blank","title":"Internal Server Error","status":500,"kind":"internal","detail":"the answer cannot be encoded"}`)
	}
	writeBytes(w, status, mediaType, body)
}

func writeBytes(w http.ResponseWriter, status int, mediaType string, body []byte) {
	h := w.Header()
	secure(h)
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // JSON under its own media type, never sniffed; a client that is gone cannot be told
}

// secure keeps answers out of caches, frames and other sites' pages.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
}

// utc is t as JSON shows it.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
