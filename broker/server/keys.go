package server

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/deedbroker/deed/audit/seal"
)

// logKeys are the keys of the log, which the sealer signs with as they come in force.
type logKeys struct {
	*seal.Keys

	succeed func()
}

// Follow is [seal.Keys.Follow].
func (k logKeys) Follow(named seal.Verifier) error {
	if err := k.Keys.Follow(named); err != nil {
		return err
	}
	k.succeed()
	return nil
}

// succeed has the key in force sign, and its file take the place of that of the key before.
// While the log is read for the first time, nothing is signed.
func (s *Server) succeed(ctx context.Context) {
	if s.broker == nil {
		return
	}
	s.sealer.Succeed(s.keys.Key(), s.broker.SealedBy())
	if err := s.keys.Settle(); err != nil {
		s.opt.Logger.LogAttrs(ctx, slog.LevelWarn,
			"the key was rotated, and its file must be put in the place of the old one by hand", slog.Any("error", err))
	}
	if err := s.publishKey(); err != nil {
		s.opt.Logger.LogAttrs(ctx, slog.LevelWarn, "verifier key not published", slog.Any("error", err))
	}
}

// VerifierKey is the public key that the log's checkpoints are signed with.
func (s *Server) VerifierKey() string { return s.keys.Verifier().String() }

// publishKey leaves the verifier key beside the log, for whoever copies it to where the
// operator cannot change it.
func (s *Server) publishKey() error {
	path := filepath.Join(s.cfg.Data, KnownPubKey)
	key := []byte(s.VerifierKey() + "\n")
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, key) { //nolint:gosec // in the data directory
		return nil
	}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, key, 0o600)
	}
	if err != nil {
		return fmt.Errorf("publish verifier key: %w", err)
	}
	return nil
}

// caughtUp is a turn that begins once the broker has read what the log holds by then: which
// key is in force, among else.
type caughtUp struct {
	seal.Turn

	server *Server
}

// Lead is [seal.Turn.Lead].
func (c caughtUp) Lead(ctx context.Context) error {
	if err := c.Turn.Lead(ctx); err != nil {
		return err
	}
	return c.server.broker.CaughtUp(ctx)
}
