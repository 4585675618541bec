package reach

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// MaxAnswer bounds what is read of one answer, in bytes.
const MaxAnswer = 1 << 20

// ErrElsewhere is in the chain of the error of a request to where this issuer may not send the broker.
var ErrElsewhere = errors.New("not at the issuer, nor at a host that is allowed beside it")

// Peer is an issuer with the hosts that it may use.
type Peer struct {
	issuer *url.URL
	hosts  []string
	client *http.Client
}

// New makes a peer. issuer must pass [CheckURL]. hosts are names (or name:port) at which
// the issuer may have endpoints beside its own origin. transport may be nil; if not, it
// is used as it is, without the check of addresses.
func New(issuer string, hosts []string, timeout time.Duration, transport http.RoundTripper) (*Peer, error) {
	if err := CheckURL(issuer); err != nil {
		return nil, err
	}
	u, err := url.Parse(issuer)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	p := &Peer{issuer: u}
	for _, h := range hosts {
		p.hosts = append(p.hosts, strings.ToLower(h))
	}
	if transport == nil {
		transport = (&dialer{own: []string{origin(u)}, timeout: timeout}).transport()
	}
	p.client = client(bounded{p.check, transport}, timeout)
	return p, nil
}

// client follows no redirects.
func client(transport http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Client reaches the peer and nobody else.
func (p *Peer) Client() *http.Client { return p.client }

// Check says why the broker may not be sent to raw; nil if it may.
func (p *Peer) Check(raw string) error {
	if err := CheckURL(raw); err != nil {
		return err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("not a URL")
	}
	return p.check(u)
}

func (p *Peer) check(u *url.URL) error {
	switch {
	case strings.EqualFold(u.Scheme, p.issuer.Scheme) && origin(u) == origin(p.issuer):
		return nil
	case u.Scheme != "https" && p.issuer.Scheme == "https":
		return fmt.Errorf("not https: %w", ErrElsewhere)
	case slices.Contains(p.hosts, strings.ToLower(u.Host)), slices.Contains(p.hosts, origin(u)):
		return nil
	default:
		return ErrElsewhere
	}
}

// bounded refuses to go elsewhere, and to read without end.
type bounded struct {
	check func(*url.URL) error
	next  http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := b.check(r.URL); err != nil {
		return nil, err
	}
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = http.MaxBytesReader(nil, response.Body, MaxAnswer)
	return response, nil
}

// dialer connects to its own wherever they are, and to others at public addresses only, or on
// this machine if they may be local.
type dialer struct {
	own     []string
	local   bool
	timeout time.Duration
	proxies sync.Map // host:port of proxies that the operator has set for the process
}

func (d *dialer) transport() *http.Transport {
	return &http.Transport{
		Proxy: d.proxy, DialContext: d.dial, ForceAttemptHTTP2: true, MaxIdleConns: 4, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: d.timeout, ResponseHeaderTimeout: d.timeout,
	}
}

func (d *dialer) proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if u != nil {
		d.proxies.Store(origin(u), true)
	}
	return u, err
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	plain := net.Dialer{Timeout: d.timeout}
	if _, isProxy := d.proxies.Load(strings.ToLower(address)); !isProxy && !slices.Contains(d.own, strings.ToLower(address)) {
		plain.ControlContext = d.allowed
	}
	return plain.DialContext(ctx, network, address)
}

// allowed sees the address that a name has resolved to, just before it is used.
func (d *dialer) allowed(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", address, err)
	}
	if a := at.Addr().Unmap(); !isPublic(a) && (!d.local || !a.IsLoopback()) {
		return fmt.Errorf("connect to %s, which is not a public address: %w", at.Addr(), ErrElsewhere)
	}
	return nil
}

// reserved are the blocks that [netip.Addr] has no word for.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("2002::/16"), // IPv4 addresses in disguise
}

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}

// origin is host:port in lower case, with the scheme's port if none is given.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[strings.ToLower(u.Scheme)]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// CheckURL accepts what OpenID Connect Discovery section 3 does, and plain http on
// loopback, where nobody is in between.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("not a URL")
	}
	if u.Host == "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		return errors.New("not a URL of scheme, host and path alone")
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return nil
	}
	return errors.New("neither https nor http on loopback")
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
