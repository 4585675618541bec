package live_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/live"
)

// Who watches is on record before they see anything; where that fails they see nothing.
func TestWatchingIsRecordedFirst(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	away := false
	r := start(t, func(c *live.Config) {
		c.Opened = func(_ context.Context, viewer *agents.Identity, from string) error {
			mu.Lock()
			defer mu.Unlock()
			if away {
				return &broker.Error{Kind: broker.LogUnavailable, Public: "not on record"}
			}
			seen = append(seen, viewer.Principal+" "+from)
			return nil
		}
	})
	r.watch(t, "carol", "").ready()
	r.watch(t, "carol", "start").next()
	r.watch(t, "dora", "m1").next()
	mu.Lock()
	away = true
	if want := []string{"carol ", "carol start", "dora cursor"}; !slices.Equal(seen, want) {
		t.Errorf("on record is %q, want %q", seen, want)
	}
	mu.Unlock()
	if _, resp, err := dial(t, r.url, "", as("erin")); err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a stream that is not recorded is opened: %v, %v", resp, err)
	}
}
