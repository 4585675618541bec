package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit/seal"
)

// ConflictError says that a witness has signed another size than the one that was named.
type ConflictError struct{ Size int64 }

func (c *ConflictError) Error() string {
	return fmt.Sprintf("the witness has signed %d records", c.Size)
}

// ErrRefused says that a witness will not sign.
var ErrRefused = errors.New("the witness refuses")

// Client asks a witness to sign checkpoints.
type Client struct {
	URL  string // add-checkpoint stands below it
	Key  seal.WitnessKey
	HTTP *http.Client // bounds the time; what it may reach is its maker's matter
}

// Add has the witness sign a checkpoint that extends, by the proof, the tree of size old
// that it has signed before. It returns the signature's line, which is verified to be the
// witness's own. A [*ConflictError] tells of another size than old.
func (c *Client) Add(ctx context.Context, old int64, proof []tlog.Hash, note string) (string, error) {
	status, kind, body, err := c.post(ctx, addCheckpoint, request{old: old, proof: proof, note: note}.text())
	if err != nil {
		return "", fmt.Errorf("ask witness %s: %w", c.Key.Name(), err)
	}
	switch {
	case status == http.StatusConflict && strings.HasPrefix(kind, sizeType):
		size, err := parseSize(strings.TrimSpace(body))
		if err != nil {
			return "", fmt.Errorf("ask witness %s: %w", c.Key.Name(), err)
		}
		return "", &ConflictError{size}
	case status != http.StatusOK:
		return "", fmt.Errorf("ask witness %s: %w: HTTP %d: %.200q", c.Key.Name(), ErrRefused, status, strings.TrimSpace(body))
	}
	return c.pick(note, body)
}

func (c *Client) post(ctx context.Context, to, body string) (status int, kind, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+to, strings.NewReader(body))
	if err != nil {
		return 0, "", "", err
	}
	response, err := c.HTTP.Do(r)
	if err != nil {
		return 0, "", "", err
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	return response.StatusCode, response.Header.Get("Content-Type"), string(raw), errors.Join(err, response.Body.Close())
}

// pick takes the witness's own line out of an answer, which may have lines of its other keys.
func (c *Client) pick(note, answer string) (string, error) {
	for line := range strings.Lines(answer) {
		if !strings.HasPrefix(line, "— "+c.Key.Name()+" ") || !strings.HasSuffix(line, "\n") {
			continue
		}
		text, _, _ := strings.Cut(note, "\n\n")
		by, err := seal.Cosigned(text+"\n\n"+line, []seal.WitnessKey{c.Key})
		if err == nil && len(by) == 1 {
			return line, nil
		}
	}
	return "", fmt.Errorf("ask witness %s: %w", c.Key.Name(), seal.ErrSignature)
}
