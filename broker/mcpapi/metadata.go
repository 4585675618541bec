package mcpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/deedbroker/deed/agents"
)

const metadataPath = "/.well-known/oauth-protected-resource"

// protectedResource is the metadata of RFC 9728: of {url}/mcp, or of the part of it that
// one upstream is. Tokens for the whole are good for each part, not the other way.
func protectedResource(cfg Config, part string, scopes []string) ([]byte, error) {
	issuers := cfg.Issuers
	if issuers == nil {
		issuers = []string{}
	}
	return json.Marshal(struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported,omitempty"`
		Methods  []string `json:"bearer_methods_supported"`
		DPoP     []string `json:"dpop_signing_alg_values_supported"`
		Name     string   `json:"resource_name"`
	}{cfg.URL + "/mcp" + part, issuers, scopes, []string{"header"}, strings.Fields(agents.DPoPAlgorithms), serverName})
}

// metadataURL is where the metadata is for whoever asked for r.
func (h *Handler) metadataURL(r *http.Request) string {
	return h.cfg.URL + metadataPath + r.URL.EscapedPath()
}

func (h *Handler) serveMetadata(w http.ResponseWriter, r *http.Request) {
	body := h.metadata
	if asked := r.PathValue("upstream"); asked != "" {
		known := h.cfg.Upstreams()
		n := slices.Index(known, asked)
		if n < 0 {
			problem(w, http.StatusNotFound, "not_found", "there is no upstream of this name")
			return
		}
		var err error
		if body, err = protectedResource(h.cfg, "/"+known[n], h.cfg.Scopes.of(known[n])); err != nil {
			problem(w, http.StatusInternalServerError, "internal", "internal error")
			return
		}
	}
	w.Header().Set("Access-Control-Allow-Origin", "*") // public, and read by clients in browsers
	w.Header().Set("Cache-Control", "max-age=300")
	writeJSON(w, http.StatusOK, "application/json", body)
}
