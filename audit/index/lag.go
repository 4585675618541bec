package index

import (
	"context"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Sized is a log that knows how many records each of its logs has.
type Sized interface {
	Sizes(ctx context.Context) (map[string]int64, error)
}

// Lag is how far an index is behind its log.
type Lag struct {
	Indexed int64         // records in the index
	Records int64         // records of the log that are not in it; -1 if the log does not tell its size
	Newest  time.Time     // of the newest event in the index
	Behind  time.Duration // for how long there have been records that are not in it
}

type lag struct {
	mu     sync.Mutex
	log    audit.Log // guarded by mu, as are the others
	at     place
	caught time.Time // when the index was last known to have everything
}

func (l *lag) start(log audit.Log, at place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log, l.at, l.caught = log, at, time.Now()
}

func (l *lag) reached(at place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = at
}

// Behind tells how far the index is behind the log that [Index.Run] follows: for
// readiness probes, and to say beside a search that it may not be complete.
func (i *Index) Behind(ctx context.Context) (Lag, error) {
	i.lag.mu.Lock()
	defer i.lag.mu.Unlock()
	l := &i.lag
	out := Lag{Indexed: l.at.records, Records: -1, Newest: l.at.newest}
	sized, ok := l.log.(Sized)
	if !ok {
		return out, nil
	}
	sizes, err := sized.Sizes(ctx)
	if err != nil {
		return out, err
	}
	out.Records = -l.at.records
	for _, n := range sizes {
		out.Records += n
	}
	if out.Records <= 0 {
		out.Records, l.caught = 0, time.Now()
	}
	out.Behind = time.Since(l.caught)
	if out.Records == 0 {
		out.Behind = 0
	}
	return out, nil
}
