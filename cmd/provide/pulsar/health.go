package pulsar

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// healthTimeout bounds one question after a broker's health.
const healthTimeout = 15 * time.Second

// healthy asks a broker to publish to and read from a topic of its own.
func healthy(ctx context.Context, admin, token string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/admin/v2/brokers/health", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Close = true // no connection is kept: the next question may go to another process
	resp, err := new(http.Client).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	said, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || string(said) != "ok" {
		return fmt.Errorf("unhealthy: %s: %.200q", resp.Status, said)
	}
	return nil
}
