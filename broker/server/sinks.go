package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/deedbroker/deed/agents/reach"
	"github.com/deedbroker/deed/audit/sink"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/tools/credentials"
)

const (
	// SinksDir is where in the data directory sinks keep their places.
	SinksDir = "sinks"
	// sinkTimeout bounds a request to a sink.
	sinkTimeout = 30 * time.Second
	// maxSinkBehind is how far a sink may lag before readiness warns of it.
	maxSinkBehind = time.Minute
)

// openSinks makes the sinks. Each reaches what it was configured with, and nothing else.
func (s *Server) openSinks(context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Sinks)) {
		c := s.cfg.Sinks[name]
		target, err := s.target(c)
		if err == nil {
			var opened *sink.Sink
			if opened, err = sink.Open(sink.Config{
				Name: name, Log: s.log, Target: target, Path: filepath.Join(s.cfg.Data, SinksDir, name), Domains: c.Domains, Logger: s.opt.Logger,
			}); err == nil {
				s.sinks = append(s.sinks, opened)
			}
		}
		if err != nil {
			return fmt.Errorf("sink %s: %w", name, err)
		}
	}
	return s.watchSinks()
}

func (s *Server) target(c config.Sink) (sink.Target, error) {
	switch {
	case c.OTLP != nil:
		h, err := s.posting(c.OTLP.URL, c.OTLP.Token)
		return &sink.OTLP{HTTP: h, Version: s.opt.Version}, err
	case c.Webhook != nil:
		h, err := s.posting(c.Webhook.URL, config.Secret{})
		if err != nil {
			return nil, err
		}
		secret, err := s.keepers.secret(c.Webhook.Secret)
		return &sink.Webhook{HTTP: h, Secret: revealed(secret), Version: s.opt.Version}, err
	case c.Syslog != nil:
		return s.syslog(c.Syslog)
	default:
		return nil, errors.New("it is of no kind")
	}
}

func (s *Server) posting(url string, token config.Secret) (sink.HTTP, error) {
	peer, err := reach.New(url, nil, sinkTimeout, nil)
	if err != nil {
		return sink.HTTP{}, err
	}
	h := sink.HTTP{URL: url, Client: peer.Client()}
	if !token.IsZero() {
		source, err := s.keepers.secret(token)
		if err != nil {
			return sink.HTTP{}, err
		}
		h.Token = revealed(source)
	}
	return h, nil
}

// revealed is a secret's text, for the one place that sends it, or signs with it.
func revealed(source credentials.Source) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		c, err := source.Get(ctx, credentials.Subject{})
		if err != nil {
			return "", err
		}
		return c.Value.Reveal(), nil
	}
}

func (s *Server) syslog(c *config.SyslogSink) (sink.Target, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "-"
	}
	address, name, secure := c.Address()
	t := &sink.Syslog{Address: address, CEF: c.Format == config.SyslogCEF, Hostname: host, Version: s.opt.Version}
	if !secure {
		return t, nil
	}
	t.TLS = &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12}
	if c.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, err
	}
	t.TLS.RootCAs = x509.NewCertPool()
	if !t.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificates", c.CAFile)
	}
	return t, nil
}

func (s *Server) checkSinks(context.Context) error {
	var errs []error
	for _, one := range s.sinks {
		switch st := one.Status(time.Now()); {
		case st.Behind > maxSinkBehind && st.Trouble != nil:
			errs = append(errs, fmt.Errorf("%s is %s behind: %w", st.Name, st.Behind.Round(time.Second), st.Trouble))
		case st.Behind > maxSinkBehind:
			errs = append(errs, fmt.Errorf("%s is %s behind", st.Name, st.Behind.Round(time.Second)))
		}
	}
	return errors.Join(errs...)
}

func (s *Server) watchSinks() error {
	if s.opt.Meter == nil || len(s.sinks) == 0 {
		return nil
	}
	behind, err := s.opt.Meter.Float64ObservableGauge("deed.sink.behind.duration", metric.WithUnit("s"), metric.WithDescription("for how long a call has waited that the sink has not taken"))
	if err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	sent, err := s.opt.Meter.Int64ObservableCounter("deed.sink.sent", metric.WithDescription("calls that the sink has taken"))
	if err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	_, err = s.opt.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, one := range s.sinks {
			st := one.Status(time.Now())
			label := metric.WithAttributes(attribute.String("sink", st.Name))
			o.ObserveFloat64(behind, st.Behind.Seconds(), label)
			o.ObserveInt64(sent, st.Sent, label)
		}
		return nil
	}, behind, sent)
	if err != nil {
		return fmt.Errorf("make metrics: %w", err)
	}
	return nil
}
