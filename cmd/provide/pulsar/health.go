package pulsar

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// healthTimeout bounds one question to the admin API.
const healthTimeout = 15 * time.Second

// healthy asks a broker to publish to and read from a topic of its own.
func healthy(ctx context.Context, admin, token string) error {
	said, err := get(ctx, admin+"/admin/v2/brokers/health", token)
	if err == nil && said != "ok" {
		err = fmt.Errorf("unhealthy: %.200q", said)
	}
	return err
}

func get(ctx context.Context, url, token string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Close = true // no connection is kept: the next question may go to another process
	resp, err := new(http.Client).Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	said, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200q", resp.Status, said)
	}
	return string(said), err
}
