package mail_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	stdmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"github.com/deedbroker/deed/broker/notify"
	"github.com/deedbroker/deed/broker/notify/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a real SMTP server that keeps what it gets.
type server struct {
	address string
	roots   *x509.CertPool

	mu     sync.Mutex
	got    []received      // guarded by mu
	refuse *smtp.SMTPError // guarded by mu: of every recipient
	logins []string        // guarded by mu
}

type received struct {
	from string
	to   []string
	text string
	tls  bool
}

func serve(t *testing.T, private bool) *server {
	t.Helper()
	s := &server{roots: x509.NewCertPool()}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	s.address = l.Addr().String()
	srv := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{server: s, conn: c}, nil }))
	srv.Domain, srv.AllowInsecureAuth, srv.ReadTimeout, srv.WriteTimeout = "mail.test", false, 10*time.Second, 10*time.Second
	if private {
		srv.TLSConfig = s.certificate(t)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		must(t, srv.Close())
		if err := <-done; !errors.Is(err, smtp.ErrServerClosed) && err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *server) certificate(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	s.roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

type session struct {
	server *server
	conn   *smtp.Conn
	now    received
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.logins = append(s.server.logins, user+":"+password)
		if password != "sesame" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *session) Reset()        { s.now = received{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.now.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if s.server.refuse != nil {
		return s.server.refuse
	}
	s.now.to = append(s.now.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	_, s.now.tls = s.conn.TLSConnectionState()
	s.now.text = string(text)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.got = append(s.server.got, s.now)
	return err
}

func (s *server) last(t *testing.T) (received, *stdmail.Message) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.got) == 0 {
		t.Fatal("no mail has come")
	}
	r := s.got[len(s.got)-1]
	m, err := stdmail.ReadMessage(strings.NewReader(r.text))
	must(t, err)
	return r, m
}

func held() notify.Message {
	return notify.Message{
		ID: "0191.leads.held", Thread: "0191", State: notify.Held, Time: time.Date(2026, 11, 27, 13, 50, 0, 0, time.UTC), CallID: "0191",
		Tool: "payments.refund", Sentence: "Refund 250 € of pay-1", Principal: "alice", Agents: []string{"copilot"}, Approvers: []string{"lead"},
		Deadline: time.Date(2026, 11, 27, 14, 5, 0, 0, time.UTC), Link: "https://deed.example/#/calls/0191",
	}
}

func channel(t *testing.T, s *server, change func(*mail.Config)) *mail.Channel {
	t.Helper()
	cfg := mail.Config{
		Server: s.address, TLS: mail.StartTLS, Config: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12}, User: "deed",
		Password: func(context.Context) (string, error) { return "sesame", nil },
		From:     "Deed <deed@acme.example>", To: []string{"leads@acme.example", "Dora <dora@acme.example>"}, Domain: "deed.example",
	}
	if change != nil {
		change(&cfg)
	}
	c, err := mail.New(cfg)
	must(t, err)
	return c
}

func TestMailArrivesAndItsFollowUpInTheSameThread(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	c := channel(t, s, nil)
	must(t, c.Send(t.Context(), held()))
	r, m := s.last(t)
	if !r.tls || r.from != "deed@acme.example" || !slices.Equal(r.to, []string{"leads@acme.example", "dora@acme.example"}) || !slices.Equal(s.logins, []string{"deed:sesame"}) {
		t.Errorf("it came from %s to %v, with TLS %t, after %v", r.from, r.to, r.tls, s.logins)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	must(t, err)
	if subject != "Approval needed: payments.refund" || m.Header.Get("Message-Id") != "<0191.leads.held@deed.example>" ||
		m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("In-Reply-To") != "" {
		t.Errorf("its head is %v", m.Header)
	}
	if media := m.Header.Get("Content-Type"); !strings.HasPrefix(media, "text/plain") {
		t.Errorf("it is %s", media)
	}
	text := body(t, m)
	for _, want := range []string{"Refund 250 € of pay-1", "Asked by copilot for alice. Waits for lead until 2026-11-27 14:05 UTC.", "https://deed.example/#/calls/0191"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	decided := held()
	decided.ID, decided.First, decided.State, decided.Outcome = "0191.leads.approved", decided.ID, notify.Approved, "Approved by bob"
	must(t, c.Send(t.Context(), decided))
	_, m = s.last(t)
	if m.Header.Get("References") != "<0191.leads.held@deed.example>" || m.Header.Get("In-Reply-To") != "<0191.leads.held@deed.example>" ||
		m.Header.Get("Subject") != "Re: Approval needed: payments.refund (Approved by bob)" {
		t.Errorf("the head of what follows is %v", m.Header)
	}
}

func body(t *testing.T, m *stdmail.Message) string {
	t.Helper()
	r := m.Body
	if strings.EqualFold(m.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		r = quotedprintable.NewReader(r)
	}
	text, err := io.ReadAll(r)
	must(t, err)
	return string(text)
}

func TestNothingGetsIntoTheHead(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	m := held()
	m.Tool, m.ID = "a.b\r\nBcc: eve@evil.example", "x>\r\nBcc: eve@evil.example"
	err := channel(t, s, nil).Send(t.Context(), m)
	if err == nil {
		r, got := s.last(t)
		if got.Header.Get("Bcc") != "" || slices.Contains(r.to, "eve@evil.example") {
			t.Errorf("it has the head %v", got.Header)
		}
	}
}

func TestWhatAServerRefusesForGoodIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	c := channel(t, s, nil)
	for code, refused := range map[int]bool{550: true, 451: false} {
		s.mu.Lock()
		s.refuse = &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "no"}
		s.mu.Unlock()
		if err := c.Send(t.Context(), held()); err == nil || errors.Is(err, notify.ErrRefused) != refused {
			t.Errorf("%d: %v", code, err)
		}
	}
}

func TestMailIsNotSentInTheClear(t *testing.T) {
	t.Parallel()
	s := serve(t, false)
	if err := channel(t, s, nil).Send(t.Context(), held()); err == nil || errors.Is(err, notify.ErrRefused) {
		t.Errorf("a server without TLS: %v", err)
	}
	if len(s.got) != 0 || len(s.logins) != 0 {
		t.Errorf("it got %v, and the logins %v", s.got, s.logins)
	}
	for name, change := range map[string]func(*mail.Config){
		"no TLS elsewhere": func(c *mail.Config) { c.Server, c.TLS = "mail.example:25", mail.None },
		"no port":          func(c *mail.Config) { c.Server = "mail.example" },
		"no recipients":    func(c *mail.Config) { c.To = nil },
		"no address":       func(c *mail.Config) { c.To = []string{"dora@acme.example\r\nBcc: eve@evil.example"} },
		"no sender":        func(c *mail.Config) { c.From = "" },
		"no password":      func(c *mail.Config) { c.Password = nil },
	} {
		cfg := mail.Config{
			Server: s.address, User: "deed", Password: func(context.Context) (string, error) { return "", nil }, From: "deed@acme.example",
			To: []string{"leads@acme.example"}, Domain: "deed.example",
		}
		change(&cfg)
		if _, err := mail.New(cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	own := channel(t, s, func(c *mail.Config) { c.TLS, c.User = mail.None, "" })
	must(t, own.Send(t.Context(), held()))
	if r, _ := s.last(t); r.tls {
		t.Error("TLS came from nowhere")
	}
}

func TestAnotherServersCertificateIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, true)
	c := channel(t, s, func(c *mail.Config) {
		c.Config = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	})
	if err := c.Send(t.Context(), held()); err == nil || len(s.logins) != 0 {
		t.Errorf("it said %v, after the logins %v", err, s.logins)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
