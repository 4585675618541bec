package console

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/deedbroker/deed/agents"
)

// Console serves the page and its login, and knows who is logged in. It is an
// [http.Handler] for /, /assets/, /login, /callback and /logout.
type Console struct {
	cfg       Config
	url       *url.URL
	providers map[string]*provider
	sessions  *sessions
	sealer    *sealer
	origins   *http.CrossOriginProtection
	redeeming chan struct{} // as many as may wait for an issuer at once
	mux       *http.ServeMux
}

const maxRedeeming = 16

// New checks cfg. It reaches no issuer: that happens when somebody logs in.
func New(cfg Config) (*Console, error) {
	c, err := build(cfg)
	if err != nil {
		return nil, fmt.Errorf("configure console: %w", err)
	}
	return c, nil
}

func build(cfg Config) (*Console, error) {
	u, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c := &Console{
		cfg: cfg, url: u, providers: map[string]*provider{}, sessions: newSessions(cfg.MaxSessions),
		origins: http.NewCrossOriginProtection(), redeeming: make(chan struct{}, maxRedeeming), mux: http.NewServeMux(),
	}
	for _, issuer := range cfg.Issuers {
		c.providers[issuer] = newProvider(issuer, cfg.HTTP[issuer])
	}
	if err := c.origins.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
		return nil, fmt.Errorf("canonical url: %w", err)
	}
	if c.sealer, err = newSealer(); err != nil {
		return nil, err
	}
	files, err := readAssets()
	if err != nil {
		return nil, err
	}
	for path, f := range files {
		c.mux.Handle("GET "+path, f)
	}
	c.mux.HandleFunc("GET /login", c.serveLogin)
	c.mux.HandleFunc("GET /callback", c.serveCallback)
	c.mux.HandleFunc("POST /logout", c.serveLogout)
	return c, nil
}

// ServeHTTP implements [http.Handler].
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	c.mux.ServeHTTP(w, r)
}

// Identity is whom the request's session cookie stands for; false without a
// session, or when it has ended. The identity MUST NOT be modified.
func (c *Console) Identity(r *http.Request) (*agents.Identity, bool) {
	cookie, err := r.Cookie(c.sessionCookie())
	if err != nil {
		return nil, false
	}
	id, ok := c.sessions.get(cookie.Value)
	if ok && c.cfg.Revocations != nil && c.cfg.Revocations.Denied(id) != nil {
		c.sessions.end(cookie.Value) // lifting a revocation does not bring it back
	}
	return id, ok // whoever asks refuses the revoked, and says so
}

// policy lets the page load and reach its own origin only, and turn no string into markup
// or script, but for the name of its one service worker.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; " +
	"form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types deed-worker"

func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store") // files say otherwise
}
