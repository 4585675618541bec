package httpapi

import (
	_ "embed"
	"fmt"
	"net/http"
)

// description is the OpenAPI 3.1 document of this API.
//
//go:embed openapi.json
var description []byte

// showDescription serves GET /v1/openapi.json to anybody.
func showDescription(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "max-age=300")
	writeBytes(w, http.StatusOK, mediaJSON, description)
}

func byteCount(n int64) string { return fmt.Sprintf("%d bytes", n) }
