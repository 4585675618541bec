package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/pulsar/admin"
	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/cmd/deed/tenant"
	"github.com/deedbroker/deed/cmd/provide"
	local "github.com/deedbroker/deed/cmd/provide/pulsar"
)

// Names in the data directory of a demo on Pulsar.
const (
	pulsarDir = "pulsar-server"
	tokenFile = "pulsar.token" // of the brokers' role
)

// startPulsar starts a Pulsar of the demo's own, which is fetched the first time, and
// adds it to the configuration as where the log is.
func startPulsar(ctx context.Context, o Options) (_ *local.Standalone, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("start Pulsar: %w", err)
	}
	if !o.JSON {
		_, _ = fmt.Fprintln(o.Out, "Starting Apache Pulsar; the first time it is fetched with Maven, which takes a minute.")
	}
	c := &provide.Cache{Dir: filepath.Join(cache, "deed")}
	dist, err := local.Install(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start Pulsar: %w", err)
	}
	s, err := local.NewStandalone(ctx, dist, filepath.Join(o.Data, pulsarDir), nil)
	if err != nil {
		return nil, err
	}
	token, err := s.Keys.Token(config.DefaultPulsarRole, 0)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(o.Data, tokenFile), []byte(token), 0o600); err != nil {
		return nil, fmt.Errorf("start Pulsar: %w", err)
	}
	return s, s.Start(ctx)
}

// logText is the part of deed.yaml that says where the log is.
func logText(s *local.Standalone) string {
	return fmt.Sprintf("log: { pulsar: { url: %q, admin: %q, auth: { token_file: %s } } }\n", s.URL(), s.Admin(), tokenFile)
}

// applyTopics does what `deed topics apply` does, as Pulsar's superuser.
func applyTopics(ctx context.Context, s *local.Standalone, cfg *config.Config) error {
	cluster, err := admin.New(admin.Options{
		URL: s.Admin(), Transport: &http.Transport{DisableKeepAlives: true},
		Token: func() (string, error) {
			token, err := os.ReadFile(s.Keys.Path(local.SuperuserToken))
			return strings.TrimSpace(string(token)), err
		},
	})
	if err != nil {
		return err
	}
	spec, err := tenant.Spec(cfg)
	if err != nil {
		return err
	}
	plan, _, err := topics.Look(ctx, cluster, topics.Desire(spec))
	if err != nil {
		return fmt.Errorf("apply topics: %w", err)
	}
	if err := topics.Apply(ctx, cluster, plan, false, func(topics.Step) {}); err != nil {
		return fmt.Errorf("apply topics: %w", err)
	}
	return nil
}

// openTopics opens the demo's history on Pulsar as a reviewer does, in a directory that
// is gone when it is closed.
func openTopics(ctx context.Context, cfg *config.Config) (*pulsar.Reader, func() error, error) {
	dir, err := os.MkdirTemp("", "deed-demo-*")
	if err != nil {
		return nil, nil, err
	}
	p := cfg.Log.Pulsar
	r, err := pulsar.OpenReadOnly(ctx, pulsar.Options{
		URL: p.URL, Auth: pulsar.Auth{TokenFile: p.Auth.TokenFile}, Tenant: cfg.Tenant, Dir: dir, Logger: slog.New(slog.DiscardHandler),
	}, true)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return r, func() error { return errors.Join(r.Close(), os.RemoveAll(dir)) }, nil
}
