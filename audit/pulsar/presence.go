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

// settle is how many times Options.Courtesy another replica has to come back after this
// one's own connection was lost too. When Pulsar was away all of them have lost theirs,
// and the client of one that lives may have to wait for an answer that never comes
// (operationTimeout) before it tries again.
const settle = 4

// looks is how often Pulsar is asked in the time of Options.Courtesy.
const looks = 4

// awaitAbsence returns nil when a replica has not been connected to Pulsar for as long as
// it may take to come back: Options.Courtesy where this one's connection is older than
// settle times that, else settle times that. Whenever Pulsar is asked it has to be there,
// and this one connected.
func (l *Log) awaitAbsence(ctx context.Context, source string) error {
	tick := time.NewTicker(max(l.options.Courtesy/looks, time.Millisecond))
	defer tick.Stop()
	absent := time.Now()
	for {
		connected, err := l.withoutIt(ctx, source)
		if err != nil {
			return err
		}
		if gone := time.Since(absent); gone >= l.options.Courtesy && max(gone, connected) >= settle*l.options.Courtesy {
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
