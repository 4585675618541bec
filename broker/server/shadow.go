package server

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/deedbroker/deed/broker/config"
	"github.com/deedbroker/deed/broker/policy"
)

// openShadow has the configured draft asked beside the policies. One that is not fit to
// be asked keeps nobody from calling: readiness warns of it.
func (s *Server) openShadow(ctx context.Context) error {
	if err := s.shadow(ctx, s.cfg); err != nil {
		s.opt.Logger.LogAttrs(ctx, slog.LevelError, "the draft of the policies is not asked", slog.String("error", err.Error()))
	}
	return ctx.Err()
}

// shadow has the draft of a configuration asked from now on.
func (s *Server) shadow(ctx context.Context, cfg *config.Config) error {
	err := s.setShadow(ctx, cfg)
	s.shadowErr.Store(&err)
	return err
}

func (s *Server) setShadow(ctx context.Context, cfg *config.Config) error {
	paths, err := cfg.ShadowFiles()
	if err != nil {
		return fmt.Errorf("shadow policies: %w", err)
	}
	var files []policy.File
	if len(paths) > 0 {
		if files, err = policy.Load(paths, ""); err != nil {
			return fmt.Errorf("shadow policies: %w", err)
		}
	}
	found, err := s.broker.Shadow(ctx, files)
	for _, f := range found {
		s.opt.Logger.LogAttrs(ctx, slog.LevelWarn, "finding in the draft of the policies", slog.String("finding", f.String()))
	}
	return err
}

func (s *Server) checkShadow(context.Context) error {
	if failed := s.shadowErr.Load(); failed != nil && *failed != nil {
		return *failed
	}
	return s.policies.DraftTrouble()
}
