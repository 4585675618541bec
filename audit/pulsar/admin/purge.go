package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/deedbroker/deed/audit/pulsar/purge"
	"github.com/deedbroker/deed/audit/pulsar/topics"
)

// Purge makes Pulsar drop every message of a topic but the last of each key, as
// [purge.Topic] says.
func (c *Client) Purge(ctx context.Context, topic topics.Object) error {
	if err := purge.Topic(ctx, c.ask, "persistent/"+path(topic)); err != nil {
		return fmt.Errorf("purge %s: %w", path(topic), err)
	}
	return nil
}

func (c *Client) ask(ctx context.Context, method, path string, answer any) error {
	switch method {
	case http.MethodPut:
		return c.put(ctx, path, nil)
	case http.MethodPost:
		return c.post(ctx, path, nil, nil)
	default:
		there, err := c.get(ctx, path, answer)
		if err == nil && !there {
			err = fmt.Errorf("get %s: there is no such topic", path)
		}
		return err
	}
}
