package witness

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

const (
	// addRotation takes the note by which the key of a log gives its place to another. C2SP
	// tlog-witness has nothing of the kind; witnesses of others are given the new key by hand.
	addRotation = "/add-rotation"
	// maxRotations bounds the rotations that a witness keeps.
	maxRotations = 10_000
	rotationEnd  = ".rotation"
)

// succeed has a log's new key stand in the place of the one that signed the rotation. The
// old one is not known any more: who has stolen it has nothing of it here.
func (s *Server) succeed(signed string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.follow(signed, func(next seal.Verifier) error { return s.state.storeRotation(next, signed) })
}

// follow puts a rotation in force, once keep has kept it. One that was followed before
// changes nothing. The caller holds mu, or is alone.
func (s *Server) follow(signed string, keep func(seal.Verifier) error) error {
	for i := range s.logs {
		next, err := seal.OpenSuccession(signed, s.logs[i].Key)
		if err != nil {
			continue
		}
		if err := keep(next); err != nil {
			return err
		}
		s.logs[i].Key = next.Note()
		return nil
	}
	if known, err := s.state.hasRotation(signed); err != nil || known {
		return err
	}
	return &refusal{http.StatusForbidden, "the rotation is not signed by a key that is known here"}
}

// recall follows the rotations that were kept, in whichever order they are read.
func (s *Server) recall() error {
	notes, err := s.state.rotations()
	if err != nil {
		return err
	}
	for again := true; again; {
		again = false
		notes = slices.DeleteFunc(notes, func(signed string) bool {
			followed := false
			_ = s.follow(signed, func(seal.Verifier) error { followed = true; return nil }) // else it is one of a log that is not asked for any more
			again = again || followed
			return followed
		})
	}
	return nil
}

func (s *state) rotationFile(next seal.Verifier) string {
	return filepath.Join(s.dir, nameOf(next.String())+rotationEnd)
}

func (s *state) storeRotation(next seal.Verifier, signed string) error {
	if s.lock == nil {
		return fs.ErrClosed
	}
	kept, err := filepath.Glob(filepath.Join(s.dir, "*"+rotationEnd))
	if err != nil {
		return err
	}
	if len(kept) >= maxRotations {
		return &refusal{http.StatusTooManyRequests, "there are too many rotations here"}
	}
	return s.replace(s.rotationFile(next), signed)
}

// hasRotation reports whether this very rotation is kept.
func (s *state) hasRotation(signed string) (bool, error) {
	notes, err := s.rotations()
	return slices.Contains(notes, signed), err
}

func (s *state) rotations() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(s.dir, "*"+rotationEnd))
	if err != nil {
		return nil, err
	}
	var notes []string
	for _, path := range paths {
		text, err := os.ReadFile(path) //nolint:gosec // in the witness's own directory
		if err != nil {
			return nil, err
		}
		notes = append(notes, string(text))
	}
	return notes, nil
}

// Introduce tells a witness which keys took the place of the one that it knows: from the
// newest rotation back to one that it takes, and those after it.
func (c *Client) Introduce(ctx context.Context, rotations []audit.Rotation) error {
	var refused error
	for i, r := range slices.Backward(rotations) {
		if refused = c.introduce(ctx, r); refused != nil {
			if errors.Is(refused, ErrRefused) {
				continue
			}
			return refused
		}
		for _, r := range rotations[i+1:] {
			if err := c.introduce(ctx, r); err != nil {
				return err
			}
		}
		return nil
	}
	return refused
}

func (c *Client) introduce(ctx context.Context, r audit.Rotation) error {
	status, _, body, err := c.post(ctx, addRotation, r.Note)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%w: HTTP %d: %.200q", ErrRefused, status, strings.TrimSpace(body))
	}
	if err != nil {
		return fmt.Errorf("tell witness %s of a rotation: %w", c.Key.Name(), err)
	}
	return nil
}
