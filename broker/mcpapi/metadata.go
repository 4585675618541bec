package mcpapi

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/deedbroker/deed/agents"
)

const metadataPath = "/.well-known/oauth-protected-resource"

// protectedResource is the metadata of RFC 9728. Every path below /mcp is the one
// resource {url}/mcp, which is the audience of all tokens.
func protectedResource(cfg Config) ([]byte, error) {
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
	}{cfg.URL + "/mcp", issuers, cfg.Scopes.all(), []string{"header"}, strings.Fields(agents.DPoPAlgorithms), serverName})
}

// metadataURL is where the metadata is for whoever asked for r.
func (h *Handler) metadataURL(r *http.Request) string {
	return h.cfg.URL + metadataPath + r.URL.EscapedPath()
}

func (h *Handler) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*") // public, and read by clients in browsers
	w.Header().Set("Cache-Control", "max-age=300")
	writeJSON(w, http.StatusOK, "application/json", h.metadata)
}
