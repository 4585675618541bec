package server

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/deedbroker/deed/broker/config"
)

// Reload puts another configuration in force as far as it can be changed while calls
// go on: the policies, after a type-check against the tools, their draft, and who is known
// (issuers and agents). What needs a restart is named in a warning. On an error nothing of it
// is in force.
func (s *Server) Reload(ctx context.Context, cfg *config.Config) error {
	verifier, err := s.newVerifier(cfg)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	files, err := policyFiles(cfg)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	found, err := s.broker.Activate(ctx, files)
	for _, f := range found {
		s.opt.Logger.LogAttrs(ctx, slog.LevelWarn, "policy finding", slog.String("finding", f.String()))
	}
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if err := s.verifier.replace(ctx, verifier); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	s.agents.Store(&cfg.Agents)
	for _, part := range s.unchangeable(cfg) {
		s.opt.Logger.LogAttrs(ctx, slog.LevelWarn, "changed in the configuration, in force after a restart", slog.String("part", part))
	}
	if err := s.shadow(ctx, cfg); err != nil {
		return fmt.Errorf("reload: all but the draft is in force: %w", err)
	}
	s.opt.Logger.LogAttrs(ctx, slog.LevelInfo, "reloaded", slog.String("policy_set", s.policies.Set().Digest()))
	return nil
}

// unchangeable names the parts of cfg that differ and that only a restart changes.
func (s *Server) unchangeable(cfg *config.Config) []string {
	var parts []string
	for name, same := range map[string]bool{
		"listen":    cfg.Listen == s.cfg.Listen,
		"url":       cfg.URL == s.cfg.URL,
		"tenant":    cfg.Tenant == s.cfg.Tenant,
		"data":      cfg.Data == s.cfg.Data,
		"domains":   reflect.DeepEqual(cfg.Domains, s.cfg.Domains),
		"upstreams": reflect.DeepEqual(cfg.Upstreams, s.cfg.Upstreams),
		"scopes":    reflect.DeepEqual(cfg.Scopes, s.cfg.Scopes),
		"notify":    reflect.DeepEqual(cfg.Notify, s.cfg.Notify),
		"holds":     cfg.Holds == s.cfg.Holds,
		"limits":    cfg.Limits == s.cfg.Limits,
		"sinks":     reflect.DeepEqual(cfg.Sinks, s.cfg.Sinks),
		"witnesses": reflect.DeepEqual(cfg.Witnesses, s.cfg.Witnesses),
	} {
		if !same {
			parts = append(parts, name)
		}
	}
	return parts
}
