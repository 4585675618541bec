// Package purge makes Pulsar forget what a topic said before: where single messages cannot be
// deleted, a key that is erased is gone only once the messages that had it are.
package purge

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/deedbroker/deed/audit"
)

// poll is how often Pulsar is asked whether it is done.
const poll = 100 * time.Millisecond

// Ask asks one question of the admin API, at a path below its version; the answer's JSON is
// decoded into answer, if that is not nil.
type Ask func(ctx context.Context, method, path string, answer any) error

// Topic makes Pulsar drop every message of the topic at a path, such as
// persistent/acme/payments/keys, but the last of each key: it compacts the topic, begins a new
// ledger, and drops the old ones. It needs a role that administers the tenant. Doing it again
// is harmless.
func Topic(ctx context.Context, ask Ask, path string) error {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"unload", func() error { return ask(ctx, http.MethodPut, path+"/unload", nil) }},
		{"compact", func() error { return compact(ctx, ask, path) }},
		{"unload", func() error { return ask(ctx, http.MethodPut, path+"/unload", nil) }},
		{"trim", func() error { return ask(ctx, http.MethodPost, path+"/trim", nil) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func compact(ctx context.Context, ask Ask, path string) error {
	if err := ask(ctx, http.MethodPut, path+"/compaction", nil); err != nil {
		return err
	}
	for {
		var s struct {
			Status    string `json:"status"`
			LastError string `json:"lastError"`
		}
		if err := ask(ctx, http.MethodGet, path+"/compaction", &s); err != nil {
			return err
		}
		switch s.Status {
		case "SUCCESS":
			return nil
		case "ERROR":
			return fmt.Errorf("%w: %.200q", audit.ErrUnavailable, s.LastError)
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
		}
	}
}
