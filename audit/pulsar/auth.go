package pulsar

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"
)

// Auth says how one proves to Pulsar who one is: by the token in a file, by tokens that
// an OAuth 2.0 provider gives for client credentials, or by a certificate. The zero
// value is nobody.
type Auth struct {
	// TokenFile is read again whenever a token is needed, so that it can be replaced.
	TokenFile string
	// OAuth2 gets short-lived tokens and replaces them before they expire.
	OAuth2 *OAuth2
	// CertFile and KeyFile (PEM) are read again for every connection.
	CertFile, KeyFile string

	// CAFile has the certificates (PEM) of who vouches for the servers. Empty means
	// those that the system trusts.
	CAFile string
}

// maxTokenBytes bounds a token's file.
const maxTokenBytes = 64 << 10

func (a Auth) validate() error {
	ways := 0
	for _, used := range []bool{a.TokenFile != "", a.OAuth2 != nil, a.CertFile != "" || a.KeyFile != ""} {
		if used {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("more than one way to authenticate: choose token file, OAuth 2.0 or certificate")
	case (a.CertFile == "") != (a.KeyFile == ""):
		return errors.New("a certificate needs both its file and its key's")
	case a.OAuth2 != nil:
		return a.OAuth2.validate()
	}
	return nil
}

// credentials are an Auth that is in use.
type credentials struct {
	auth Auth
	// token gives a token that is valid now; nil if there are none.
	token func() (string, error)
	tls   *tls.Config
}

func newCredentials(ctx context.Context, a Auth) (*credentials, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	c := &credentials{auth: a, tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	if a.CAFile != "" {
		pem, err := os.ReadFile(a.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read certificates of authorities: %w", err)
		}
		c.tls.RootCAs = x509.NewCertPool()
		if !c.tls.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate", a.CAFile)
		}
	}
	switch {
	case a.TokenFile != "":
		c.token = func() (string, error) { return readToken(a.TokenFile) }
	case a.OAuth2 != nil:
		c.token = a.OAuth2.supplier(ctx, c.tls)
	case a.CertFile != "":
		if _, err := c.certificate(); err != nil {
			return nil, err
		}
		c.tls.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.certificate() }
	}
	if c.token != nil {
		if _, err := c.token(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *credentials) certificate() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.auth.CertFile, c.auth.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return &pair, nil
}

// forClient is how the client authenticates; nil for nobody.
func (c *credentials) forClient() pulsar.Authentication {
	switch {
	case c.token != nil:
		return pulsar.NewAuthenticationTokenFromSupplier(c.token)
	case c.auth.CertFile != "":
		return pulsar.NewAuthenticationFromTLSCertSupplier(c.certificate)
	default:
		return nil
	}
}

// http is a client for the admin API that authenticates itself.
func (c *credentials) http() *http.Client {
	return &http.Client{Timeout: adminTimeout, Transport: &authenticated{
		token: c.token, next: &http.Transport{TLSClientConfig: c.tls.Clone(), DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
	}}
}

type authenticated struct {
	token func() (string, error)
	next  http.RoundTripper
}

func (a *authenticated) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.token == nil {
		return a.next.RoundTrip(r)
	}
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return a.next.RoundTrip(r)
}

func readToken(path string) (_ string, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, maxTokenBytes+1))
	token := strings.TrimSpace(string(text))
	switch {
	case err != nil:
		return "", fmt.Errorf("read token: %w", err)
	case len(text) > maxTokenBytes:
		return "", fmt.Errorf("read token: %s is longer than %d bytes", path, maxTokenBytes)
	case token == "":
		return "", fmt.Errorf("read token: %s is empty", path)
	}
	return token, nil
}

// adminTimeout bounds one request to the admin API.
const adminTimeout = 30 * time.Second
