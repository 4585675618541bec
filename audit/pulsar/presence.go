package pulsar

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/deedbroker/deed/audit"
)

// publisher is somebody whom Pulsar has connected to a topic now, to write.
type publisher struct {
	Name  string    `json:"producerName"`
	Since time.Time `json:"connectedSince"`
}

// settle is how many times Options.Courtesy this replica has to have been connected
// before it takes another one that is not for dead. When Pulsar was away all of them have
// lost their connections, and the client of one that lives may have to wait for an
// answer that never comes (operationTimeout) before it tries again.
const settle = 4

// looks is how often Pulsar is asked in the time of Options.Courtesy.
const looks = 4

// awaitAbsence returns nil when a replica has not been connected to Pulsar for
// Options.Courtesy, and this one has been for long enough to know that Pulsar was there.
func (l *Log) awaitAbsence(ctx context.Context, source string) error {
	tick := time.NewTicker(max(l.options.Courtesy/looks, time.Millisecond))
	defer tick.Stop()
	absent := time.Now()
	for {
		connected, err := l.withoutIt(ctx, source)
		if err != nil {
			return err
		}
		if time.Since(absent) >= l.options.Courtesy && connected >= settle*l.options.Courtesy {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
		}
	}
}

// withoutIt asks Pulsar who is connected where calls are written. It returns for how long
// this replica has been, everywhere, by Pulsar's clock. Another that is connected anywhere
// is [audit.ErrAlive].
func (l *Log) withoutIt(ctx context.Context, source string) (connected time.Duration, err error) {
	for i, p := range l.callPartitions() {
		var s stats
		now, err := l.admin.ask(ctx, http.MethodGet, p.place.path()+"/stats", &s)
		if err != nil {
			return 0, fmt.Errorf("look who writes to %s: %w", p.place.name, err)
		}
		var own time.Time
		for _, by := range s.Publishers {
			switch by.Name {
			case source:
				return 0, fmt.Errorf("%w: it is connected to %s", audit.ErrAlive, p.place.name)
			case l.options.source():
				own = by.Since
			}
		}
		if own.IsZero() {
			return 0, fmt.Errorf("%w: this replica is not connected to %s itself", audit.ErrUnavailable, p.place.name)
		}
		if here := now.Sub(own); i == 0 || here < connected {
			connected = here
		}
	}
	return connected, nil
}

// callPartitions are the partitions of all calls, in the order of their logs.
func (l *Log) callPartitions() []*partition {
	var all []*partition
	for _, p := range l.logs {
		if p.place.topic == audit.TopicCalls {
			all = append(all, p)
		}
	}
	return all
}
