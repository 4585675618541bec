package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// CallbackPath is the path of the loopback redirect; its port differs each time,
// which providers allow (RFC 8252 section 7.3).
const CallbackPath = "/callback"

// CodeRequest is a sign-in of a person.
type CodeRequest struct {
	Target
	// AuthParams are more parameters of the authorization request.
	AuthParams url.Values
	// Listener is where the browser comes back to, as [Listen] makes it; nil: a free port. The
	// sign-in closes it.
	Listener net.Listener
	// Show hands the person the address to open. An error ends the sign-in.
	Show func(ctx context.Context, address string) error
}

// CodeFlow signs a person in: it listens on loopback, has the address shown, and
// waits for the browser to come back until ctx is done. Answers whose state is not
// ours are turned away and waited past; an answer of another issuer ends it.
func (c *Client) CodeFlow(ctx context.Context, request CodeRequest) (*Token, error) {
	t, err := c.codeFlow(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	return t, nil
}

func (c *Client) codeFlow(ctx context.Context, request CodeRequest) (*Token, error) {
	listener := request.Listener
	if listener == nil {
		var err error
		if listener, err = Listen(ctx, 0); err != nil {
			return nil, err
		}
	}
	back := &callback{state: rand.Text(), host: listener.Addr().String(), provider: c.Provider, result: make(chan callbackResult, 1)}
	stop := back.serve(ctx, listener)
	defer stop()

	verifier := oauth2.GenerateVerifier()
	redirect := Redirect(listener)
	config := oauth2.Config{ClientID: c.ID, RedirectURL: redirect, Scopes: request.Scopes, Endpoint: oauth2.Endpoint{AuthURL: c.Provider.AuthorizationEndpoint}}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	if request.Resource != "" {
		options = append(options, oauth2.SetAuthURLParam("resource", request.Resource))
	}
	for name := range request.AuthParams {
		options = append(options, oauth2.SetAuthURLParam(name, request.AuthParams.Get(name)))
	}
	if err := request.Show(ctx, config.AuthCodeURL(back.state, options...)); err != nil {
		return nil, fmt.Errorf("show address: %w", err)
	}
	code, err := back.wait(ctx)
	if err != nil {
		return nil, err
	}
	return c.post(ctx, request.redemption(Code{Code: Secret(code), Redirect: redirect, Verifier: Secret(verifier)}))
}

// Listen waits on loopback for a browser to come back; port 0 stands for a free one.
func Listen(ctx context.Context, port int) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("listen for the browser: %w", err)
	}
	return l, nil
}

// Redirect is the redirect URI of a sign-in that listens there.
func Redirect(l net.Listener) string { return "http://" + l.Addr().String() + CallbackPath }

// Code is what a person came back with from a provider, and what belongs to it.
type Code struct {
	Code     Secret
	Redirect string // the redirect URI of the authorization request
	Verifier Secret // of PKCE (RFC 7636 section 4.1)
}

// Redeem trades a code for a token (RFC 6749 section 4.1.3), for those who have
// received the browser themselves.
func (c *Client) Redeem(ctx context.Context, code Code, target Target) (*Token, error) {
	return c.grant(ctx, "redeem code", target.redemption(code))
}

func (t Target) redemption(code Code) url.Values {
	form := t.form("authorization_code")
	form.Del("scope")
	form.Set("code", string(code.Code))
	form.Set("redirect_uri", code.Redirect)
	form.Set("code_verifier", string(code.Verifier))
	return form
}

type callbackResult struct {
	code string
	err  error
}

// callback receives the browser when it comes back from the provider.
type callback struct {
	state    string
	host     string
	provider *Provider
	result   chan callbackResult // capacity 1
}

// serve answers on listener until the function that it returns has returned.
func (b *callback) serve(ctx context.Context, listener net.Listener) (stop func()) {
	server := &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 32 << 10}
	var group sync.WaitGroup
	group.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			b.deliver(callbackResult{err: fmt.Errorf("listen for the browser: %w", err)})
		}
	})
	return func() {
		const courtesy = time.Second // for the browser to get its page
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), courtesy)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // nothing is left to do for that browser
		}
		group.Wait()
	}
}

func (b *callback) wait(ctx context.Context) (string, error) {
	select {
	case r := <-b.result:
		return r.code, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("wait for the browser: %w", ctx.Err())
	}
}

// deliver passes the first result on and drops others.
func (b *callback) deliver(r callbackResult) {
	select {
	case b.result <- r:
	default:
	}
}

// ServeHTTP implements [http.Handler].
func (b *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	query := r.URL.Query()
	switch {
	case r.Method != http.MethodGet || r.URL.Path != CallbackPath:
		w.WriteHeader(http.StatusNotFound)
	case r.Host != b.host, subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(b.state)) != 1:
		w.WriteHeader(http.StatusBadRequest)
		say(w, "This is not the answer to the sign-in that is waiting here.\n")
	default:
		result := b.read(query)
		b.deliver(result)
		if result.err != nil {
			w.WriteHeader(http.StatusBadRequest)
			say(w, "The sign-in failed. The terminal says why.\n")
			return
		}
		say(w, "Signed in. You can close this window.\n")
	}
}

// say answers a browser, which may have gone: that changes nothing.
func say(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

func (b *callback) read(query url.Values) callbackResult {
	if iss := query.Get("iss"); (b.provider.NamesItself || iss != "") && iss != b.provider.Issuer {
		return callbackResult{err: errors.New("the answer is of another issuer")}
	}
	if code := query.Get("error"); code != "" {
		return callbackResult{err: &GrantError{Code: printable(code), Description: printable(query.Get("error_description"))}}
	}
	if query.Get("code") == "" {
		return callbackResult{err: errors.New("the answer has no code")}
	}
	return callbackResult{code: query.Get("code")}
}
