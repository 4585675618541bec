package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/deedbroker/deed/audit/export"
)

const (
	// facility is "log audit" of RFC 5424.
	facility = 13
	// dialTimeout bounds a connection's making.
	dialTimeout = 10 * time.Second

	structured = "deed@32473" // the number that RFC 5612 keeps for examples: Deed has none
)

// Syslog sends a message of RFC 5424 a call, over TCP or, as RFC 5425 says, TLS, each
// after its length.
type Syslog struct {
	Address  string      // host:port
	TLS      *tls.Config // nil: plain TCP
	CEF      bool        // messages are CEF; otherwise OCSF
	Hostname string
	Version  string

	conn net.Conn
}

// Send is part of [Target].
func (s *Syslog) Send(ctx context.Context, entries []*export.Entry) (err error) {
	var out bytes.Buffer
	for _, e := range entries {
		message, err := s.message(e)
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%d %s", len(message), message)
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetWriteDeadline(deadline); err != nil {
		return s.hangUp(err)
	}
	if _, err := s.conn.Write(out.Bytes()); err != nil {
		return s.hangUp(err)
	}
	return nil
}

// connect makes a connection, unless there is one that the other side has not closed.
func (s *Syslog) connect(ctx context.Context) error {
	if s.conn != nil {
		if s.open() {
			return nil
		}
		if err := s.hangUp(nil); err != nil {
			return err
		}
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	var err error
	if s.TLS == nil {
		s.conn, err = dialer.DialContext(ctx, "tcp", s.Address)
	} else {
		s.conn, err = (&tls.Dialer{NetDialer: dialer, Config: s.TLS}).DialContext(ctx, "tcp", s.Address)
	}
	if err != nil {
		s.conn = nil
	}
	return err
}

// open looks whether the other side has closed: it has nothing else to say.
func (s *Syslog) open() bool {
	if err := s.conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return false
	}
	_, err := s.conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func (s *Syslog) hangUp(err error) error {
	closed := s.conn.Close()
	s.conn = nil
	if err != nil {
		return errors.Join(err, closed)
	}
	return nil // whatever it was, it is closed
}

// Close is part of [Target].
func (s *Syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	return s.hangUp(nil)
}

// message is a call as RFC 5424 has it.
func (s *Syslog) message(e *export.Entry) (string, error) {
	text := export.CEF(e, s.Version)
	if !s.CEF {
		var b bytes.Buffer
		if err := export.NewOCSF(&b, s.Version).Call(e); err != nil {
			return "", err
		}
		text = string(bytes.TrimSpace(b.Bytes()))
	}
	r := export.RowOf(e)
	m := &rfc5424.SyslogMessage{}
	m.SetVersion(1).SetPriority(facility*8+severity(r.Outcome)).SetTimestamp(e.Ended().UTC().Format("2006-01-02T15:04:05.000000Z")).
		SetHostname(s.Hostname).SetAppname("deed").SetProcID(strconv.Itoa(os.Getpid())).SetMsgID("call").
		SetParameter(structured, "call", r.CallID).SetParameter(structured, "record", e.At.String()).SetParameter(structured, "leaf", r.Leaf).
		SetMessage(text)
	made, err := m.String()
	if err != nil {
		return "", fmt.Errorf("make syslog message: %w", err)
	}
	return made, nil
}

// severity is notice for what was done, warning for what was not, error for what nobody knows.
func severity(outcome string) uint8 {
	switch outcome {
	case "result":
		return 5
	case "unknown":
		return 3
	default:
		return 4
	}
}
