package httpapi

import "net/http"

// statementKeys serves GET /.well-known/jwks.json. A consumer that meets a key it does not
// know asks again.
func (a *api) statementKeys(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=60")
	write(w, http.StatusOK, "application/jwk-set+json", a.cfg.Broker.StatementKeys())
}
