package notify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	troubleFor  = time.Hour // after a dead letter
	maxFailures = 3         // in a row, of a channel that is not in trouble
)

// Check says which channels are in trouble, or nil.
func (n *Notifier) Check(ctx context.Context) error {
	dead, err := n.store.letters(ctx, time.Now().Add(-troubleFor))
	if err != nil {
		return fmt.Errorf("count dead letters: %w", err)
	}
	var trouble []string
	for _, name := range slices.Sorted(maps.Keys(n.channels)) {
		if failed := n.channels[name].failing.Load(); failed >= maxFailures {
			trouble = append(trouble, fmt.Sprintf("%s has failed %d times in a row", name, failed))
		}
		if dead[name] > 0 {
			trouble = append(trouble, fmt.Sprintf("%s did not take %s within the last hour", name, count(dead[name], "notification", "notifications")))
		}
	}
	if len(trouble) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(trouble, "; "))
}
