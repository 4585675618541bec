package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/httpapi"
	"github.com/deedbroker/deed/broker/notify"
	"github.com/deedbroker/deed/broker/notify/mail"
	"github.com/deedbroker/deed/broker/notify/push"
	"github.com/deedbroker/deed/broker/notify/webhook"
	"github.com/deedbroker/deed/tools/credentials"
)

// Names in a data directory that belong to notifications, beside [notify.FileName].
const (
	PushKeyFile = "keys/push.key"
	PushFile    = "push.json" // the browsers of approvers
)

// renotify is how long notifications rest after they failed.
const renotify = 5 * time.Second

// openNotify makes what tells people of held calls, if the configuration names channels.
func (s *Server) openNotify(ctx context.Context) error {
	if len(s.cfg.Notify.Channels) == 0 {
		return nil
	}
	channels, pusher, err := Channels(s.cfg, s.broker.MayVote)
	if err != nil {
		return err
	}
	routes, err := routes(s.cfg.Notify.Routes)
	if err != nil {
		return err
	}
	_, shared := s.log.(audit.Fencer)
	s.notifier, err = notify.Open(ctx, notify.Config{
		Log: s.log, Path: filepath.Join(s.cfg.Data, notify.FileName), Start: s.broker.Start(), Open: s.broker.Undecided(),
		Channels: channels, Routes: routes, Words: s.broker.Words, URL: s.cfg.URL, Source: s.source(), Shared: shared,
		Withhold: withheld, Logger: s.opt.Logger, Meter: s.opt.Meter,
	})
	if err != nil {
		return err
	}
	s.push = pusher
	s.closers = append(s.closers, s.notifier.Close)
	return nil
}

// tell runs notifications until ctx is done. Calls do not depend on them: what is wrong
// is said, and tried again.
func (s *Server) tell(ctx context.Context) error {
	for s.notifier != nil {
		err := s.notifier.Run(ctx)
		if ctx.Err() != nil || err == nil {
			return nil //nolint:nilerr // it was told to stop
		}
		s.opt.Logger.LogAttrs(ctx, slog.LevelError, "notifications stopped, trying again", slog.Any("error", err))
		select {
		case <-time.After(renotify):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func (s *Server) checkNotify(ctx context.Context) error {
	if s.notifier == nil {
		return nil
	}
	return s.notifier.Check(ctx)
}

// Channels are the ways to people of a configuration, by name, and which of them pushes
// to browsers; nil if none does. MayDecide says to whom of these a call is told; nil: to
// none.
func Channels(cfg *config.Config, mayDecide func(*agents.Identity, string) bool) (map[string]notify.Limited, *push.Channel, error) {
	k, err := newKeepers(cfg)
	if err != nil {
		return nil, nil, err
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, nil, errors.New("url is not a URL")
	}
	channels := map[string]notify.Limited{}
	var pusher *push.Channel
	for name, c := range cfg.Notify.Channels {
		made := notify.Limited{PerMinute: c.Limit.PerSecond() * 60}
		switch {
		case c.SMTP != nil:
			made.Channel, err = k.mail(c.SMTP, u.Hostname())
		case c.Webhook != nil:
			made.Channel, err = k.webhook(c.Webhook)
		case c.Slack != nil:
			made.Channel, err = k.slack(c.Slack)
		case c.Push != nil:
			pusher, err = pushes(cfg, c.Push, mayDecide)
			made.Channel, made.Local = pusher, true
		}
		if err != nil {
			return nil, nil, fmt.Errorf("notify.channels.%s: %w", name, err)
		}
		channels[name] = made
	}
	return channels, pusher, nil
}

// text gives what a reference refers to, as it is at the time.
func (k *keepers) text(ref config.Secret) (func(context.Context) (string, error), error) {
	source, err := k.secret(ref)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		c, err := source.Get(ctx, credentials.Subject{})
		return c.Value.Reveal(), err
	}, nil
}

func (k *keepers) mail(c *config.SMTP, domain string) (*mail.Channel, error) {
	m := mail.Config{Server: c.Server, TLS: mail.TLS(c.TLS), User: c.User, From: c.From, To: c.To, Domain: domain}
	var err error
	if c.User != "" {
		if m.Password, err = k.text(c.Password); err != nil {
			return nil, err
		}
	}
	if c.CAFile != "" {
		certificates, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, err
		}
		m.Config = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !m.Config.RootCAs.AppendCertsFromPEM(certificates) {
			return nil, fmt.Errorf("%s has no certificates", c.CAFile)
		}
	}
	return mail.New(m)
}

func (k *keepers) webhook(c *config.Webhook) (*webhook.Channel, error) {
	secret, err := k.text(c.Secret)
	if err != nil {
		return nil, err
	}
	return webhook.New(c.URL, secret)
}

func (k *keepers) slack(c *config.Slack) (*webhook.Slack, error) {
	address, err := k.text(c.URL)
	if err != nil {
		return nil, err
	}
	return webhook.NewSlack(address), nil
}

func pushes(cfg *config.Config, c *config.Push, mayDecide func(*agents.Identity, string) bool) (*push.Channel, error) {
	path := c.Key
	if path == "" {
		path = filepath.Join(cfg.Data, PushKeyFile)
	}
	key, err := push.LoadOrCreateKey(path)
	if err != nil {
		return nil, err
	}
	if mayDecide == nil {
		mayDecide = func(*agents.Identity, string) bool { return false }
	}
	return push.Open(push.Config{Key: key, Path: filepath.Join(cfg.Data, PushFile), Subscriber: c.Subscriber, Services: c.Services, MayDecide: mayDecide})
}

func routes(all []config.NotifyRoute) ([]notify.Route, error) {
	var out []notify.Route
	for _, r := range all {
		route := notify.Route{Domains: r.Domains, Approvers: r.Approvers, To: r.To}
		if q := r.Quiet; q != nil {
			zone, err := time.LoadLocation(q.Zone)
			if err != nil {
				return nil, fmt.Errorf("notify.routes: %w", err)
			}
			route.Quiet = &notify.Quiet{From: q.Hours.From, To: q.Hours.To, Zone: zone}
		}
		for _, e := range r.Escalate {
			route.Escalate = append(route.Escalate, notify.Escalation{After: e.After.Duration, To: e.To})
		}
		out = append(out, route)
	}
	return out, nil
}

// browsers are the subscriptions as the API has them.
type browsers struct{ *push.Channel }

// Subscribe implements [httpapi.Push].
func (b browsers) Subscribe(person *agents.Identity, s httpapi.PushSubscription) error {
	err := b.Channel.Subscribe(person, push.Subscription{Endpoint: s.Endpoint, Keys: push.Keys{P256DH: s.Keys.P256DH, Auth: s.Keys.Auth}})
	if errors.Is(err, push.ErrSubscription) {
		return &broker.Error{Kind: broker.Invalid, Op: "subscribe", Public: err.Error(), Err: err}
	}
	return err
}

// subscriptions is nil, and no interface that holds it, where nothing is pushed.
func (s *Server) subscriptions() httpapi.Push {
	if s.push == nil {
		return nil
	}
	return browsers{s.push}
}
