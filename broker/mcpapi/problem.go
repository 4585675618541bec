package mcpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// problem answers with an error that is not of the protocol (RFC 9457).
func problem(w http.ResponseWriter, status int, kind, detail string) {
	body, err := json.Marshal(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Kind   string `json:"kind"`
	}{http.StatusText(status), status, detail, kind})
	if err != nil { // of three strings and a number
		body = []byte("{}")
	}
	writeJSON(w, status, "application/problem+json", body)
}

func writeJSON(w http.ResponseWriter, status int, mediaType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone, and nobody is left to tell
}
