package embedded

import (
	"sync/atomic"
	"time"
)

// Stats counts what a log has done since it was opened.
type Stats struct {
	Appends  int64         // events acknowledged
	Refused  int64         // events not stored: no room, poisoned, withdrawn by their caller
	Batches  int64         // transactions committed
	Bytes    int64         // of events and payloads acknowledged
	LastSync time.Duration // how long the last commit took, its sync included
	Records  int64         // in the log altogether
	Waiting  int           // appends that the writer has not taken yet
	Full     bool          // the reserve is given up: no new calls
}

type counters struct {
	appends, refused, batches, bytes, lastSync atomic.Int64
}

// Stats returns the counters as they are now.
func (l *Log) Stats() Stats {
	return Stats{
		Appends:  l.count.appends.Load(),
		Refused:  l.count.refused.Load(),
		Batches:  l.count.batches.Load(),
		Bytes:    l.count.bytes.Load(),
		LastSync: time.Duration(l.count.lastSync.Load()),
		Records:  l.tail.end(),
		Waiting:  len(l.queue),
		Full:     l.full.Load(),
	}
}
