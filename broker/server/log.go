package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/audit/pulsar"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/spool"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/config"
)

// store is a log as a server needs it; *embedded.Log and *pulsar.Log are.
type store interface {
	audit.Log
	audit.Payloads
	audit.Eraser
	seal.Trees
	// Health says why the log does not take new calls, or nil.
	Health() error
	Close() error
}

// openStore opens the log that the configuration names.
func (s *Server) openStore(ctx context.Context) (store, error) {
	if s.cfg.Log.Pulsar != nil {
		return s.openPulsar(ctx, s.cfg.Log.Pulsar)
	}
	l, err := embedded.Open(ctx, s.cfg.Data, embedded.Options{})
	if err != nil {
		return nil, err // not a store that holds nil
	}
	return l, nil
}

func (s *Server) openPulsar(ctx context.Context, p *config.Pulsar) (store, error) {
	if p.Admin == "" {
		return nil, errors.New("log.pulsar.admin is needed: the broker asks there whether deduplication is on")
	}
	l, err := pulsar.Open(ctx, PulsarOptions(s.cfg, s.opt.Replica, s.opt.Logger))
	if err != nil {
		return nil, err
	}
	return l, nil
}

// PulsarOptions open the log that a configuration with log.pulsar names, as a replica.
func PulsarOptions(cfg *config.Config, replica string, logger *slog.Logger) pulsar.Options {
	p := cfg.Log.Pulsar
	return pulsar.Options{
		URL: p.URL, Admin: p.Admin, Auth: pulsarAuth(p.Auth), Tenant: cfg.Tenant,
		Domains: slices.Collect(maps.Keys(cfg.Domains)), Replica: replica,
		Dir: filepath.Join(cfg.Data, PulsarDir), Logger: logger,
	}
}

// SealKeyFile is where a broker with this configuration has the key that signs checkpoints.
func SealKeyFile(cfg *config.Config) string {
	if p := cfg.Log.Pulsar; p != nil && p.SealKey != "" {
		return p.SealKey
	}
	return filepath.Join(cfg.Data, KeyFile)
}

// shared is what a broker needs on a log that others write too, and that can be away.
func (s *Server) shared() (audit.Fencer, broker.Spool, error) {
	fencer, ok := s.log.(audit.Fencer)
	if !ok {
		return nil, nil, s.watch(nil)
	}
	kept, err := spool.Open(filepath.Join(s.cfg.Data, SpoolDir), 0)
	if err != nil {
		return nil, nil, err
	}
	s.spooled = kept.Len
	return fencer, kept, s.watch(kept)
}

func pulsarAuth(a config.PulsarAuth) pulsar.Auth {
	auth := pulsar.Auth{TokenFile: a.TokenFile, CertFile: a.CertFile, KeyFile: a.KeyFile, CAFile: a.CAFile}
	if o := a.OAuth2; o != nil {
		auth.OAuth2 = &pulsar.OAuth2{
			Issuer: o.Issuer, TokenURL: o.TokenURL, ClientID: o.ClientID, Secret: o.Secret.Resolve,
			Audience: o.Audience, Scopes: o.Scopes,
		}
	}
	return auth
}
