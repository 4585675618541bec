package demo

import (
	"encoding/json"
	"net/http"
	"net/netip"
)

const maxBody = 64 << 10

// ServeHTTP implements [http.Handler]. It turns away what does not come from this
// machine, or was not meant for this issuer.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		http.Error(w, "the demo issuer serves this machine only", http.StatusForbidden)
		return
	}
	if r.Host != i.url.Host {
		http.Error(w, "the demo issuer does not go by this name", http.StatusMisdirectedRequest)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	i.mux.ServeHTTP(w, r)
}

// oauthError is an answer as in RFC 6749 section 5.2.
type oauthError struct {
	status int
	code   string
	why    string
	widens bool // it asked for more than the subject token may do
}

func widening(code, why string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, code: code, why: why, widens: true}
}

func invalid(code, why string) *oauthError {
	return &oauthError{status: http.StatusBadRequest, code: code, why: why}
}

func (e *oauthError) write(w http.ResponseWriter) {
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="deed demo"`)
	}
	reply(w, e.status, map[string]string{"error": e.code, "error_description": e.why})
}

func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "server_error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}
