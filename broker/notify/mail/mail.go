// Package mail sends notifications as e-mail, over SMTP. A follow-up is a reply to the
// message that it follows (RFC 5322 section 3.6.4), and a message that is sent again has
// the Message-ID that it had. Messages are plain text.
package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"

	"github.com/deedbroker/deed/broker/notify"
)

// TLS is how a connection to the server is made private.
type TLS string

// The values of [TLS].
const (
	StartTLS TLS = "starttls" // the default; a server that does not offer it is not used
	Implicit TLS = "implicit"
	None     TLS = "none" // to a server on this machine alone
)

// Config says how mail is sent. Server, From, To and Domain are required.
type Config struct {
	Server   string // host:port
	TLS      TLS
	Config   *tls.Config // nil for the system's
	User     string      // none: without authentication
	Password func(context.Context) (string, error)
	From     string
	To       []string
	Domain   string // of Message-IDs: the console's host
}

// Channel sends mail.
type Channel struct {
	cfg  Config
	host string
	port int
}

var _ notify.Channel = (*Channel)(nil)

// New checks cfg. Nothing is connected yet.
func New(cfg Config) (*Channel, error) {
	host, service, err := net.SplitHostPort(cfg.Server)
	port, bad := strconv.ParseUint(service, 10, 16)
	switch {
	case err != nil, bad != nil, host == "":
		return nil, fmt.Errorf("mail: %q is not host:port", cfg.Server)
	case len(cfg.To) == 0 || cfg.Domain == "":
		return nil, errors.New("mail: recipients and a domain are required")
	case cfg.User != "" && cfg.Password == nil:
		return nil, errors.New("mail: a user needs a password")
	case cfg.TLS == None && !loopback(host):
		return nil, fmt.Errorf("mail: %s is not this machine: mail to it needs TLS", host)
	}
	for _, address := range append([]string{cfg.From}, cfg.To...) {
		if _, err := mail.ParseAddress(address); err != nil {
			return nil, fmt.Errorf("mail: %q is not an address", address)
		}
	}
	return &Channel{cfg: cfg, host: host, port: int(port)}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Send implements [notify.Channel].
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	message, err := c.compose(m)
	if err != nil {
		return fmt.Errorf("send mail: %w: %w", notify.ErrRefused, err)
	}
	client, err := c.client(ctx)
	if err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	err = client.DialAndSendWithContext(ctx, message)
	if err == nil || message.IsDelivered() { // what failed then is only the farewell
		return nil
	}
	if refused, ok := errors.AsType[*gomail.SendError](err); ok && refused.ErrorCode() >= 500 && !refused.IsTemp() {
		return fmt.Errorf("send mail: %w: %s answered %d", notify.ErrRefused, c.cfg.Server, refused.ErrorCode())
	}
	return fmt.Errorf("send mail by %s: %w", c.cfg.Server, err)
}

func (c *Channel) client(ctx context.Context) (*gomail.Client, error) {
	options := []gomail.Option{gomail.WithPort(c.port)}
	switch c.cfg.TLS {
	case Implicit:
		options = append(options, gomail.WithSSL())
	case None:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if c.cfg.Config != nil {
		own := c.cfg.Config.Clone()
		own.ServerName = c.host
		options = append(options, gomail.WithTLSConfig(own))
	}
	if c.cfg.User != "" {
		password, err := c.cfg.Password(ctx)
		if err != nil {
			return nil, err
		}
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(c.cfg.User), gomail.WithPassword(password))
	}
	return gomail.NewClient(c.host, options...)
}

func (c *Channel) compose(m notify.Message) (*gomail.Msg, error) {
	out := gomail.NewMsg()
	if err := errors.Join(out.From(c.cfg.From), out.To(c.cfg.To...)); err != nil {
		return nil, err
	}
	out.Subject(c.subject(m))
	out.SetDateWithValue(m.Time)
	out.SetMessageIDWithValue(c.id(m.ID))
	out.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's machine answers
	if m.First != "" {
		out.SetGenHeader(gomail.HeaderInReplyTo, "<"+c.id(m.First)+">")
		out.SetGenHeader(gomail.HeaderReferences, "<"+c.id(m.First)+">")
	}
	text := m.Text()
	if m.Link != "" {
		text += "\nDecide and see all of it, with your own login:\n" + m.Link + "\n"
	}
	out.SetBodyString(gomail.TypeTextPlain, text)
	return out, nil
}

// subject is that of the first message in its follow-ups too, since some readers thread by it.
func (c *Channel) subject(m notify.Message) string {
	if m.First == "" {
		return m.Title()
	}
	first := m
	first.State, first.Late = notify.Held, false
	return "Re: " + first.Title() + " (" + m.Outcome + ")"
}

func (c *Channel) id(of string) string {
	return strings.NewReplacer("<", "", ">", "", " ", "").Replace(of) + "@" + c.cfg.Domain
}
