package pulsar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deedbroker/deed/audit"
)

// An event is stored and its payloads are not: why? Single messages cannot be taken out
// of a topic. Either retention has removed the payloads with all that came before them,
// which is an [audit.ErrErased]; or they never arrived, since their writer died when it
// had sent the event and not, or not to the end, what belongs to it: [audit.ErrLost]. That
// can have befallen only the last messages of a run. All else is [audit.ErrNotFound].

// onTheirWay is how long before the last message of a run another of it, which was not
// acknowledged, may have been stored.
const onTheirWay = 15 * time.Second

// asleep is how much longer a run may go on than a message whose payloads it never sent to
// the end: a process can be stopped in between, and go on until it notices that it is fenced.
const asleep = 5 * time.Minute

// absent says why the topic does not have the payloads of a record of the partition.
func (f *finder) absent(ctx context.Context, p *partition, of note) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	first, err := f.log.readAt(ctx, f.place, messageID{})
	empty := errors.Is(err, audit.ErrNotFound)
	switch {
	case err != nil && !empty:
		return err
	case empty && time.Since(of.at) > onTheirWay, !empty && first.index != 0 && first.at.After(of.at):
		return fmt.Errorf("%w: retention has removed it", audit.ErrErased)
	}
	if p.diedAfter(of) {
		return audit.ErrLost
	}
	return audit.ErrNotFound
}

// diedAfter reports whether a run ended soon after one of its messages, some time ago.
func (p *partition) diedAfter(of note) bool {
	end, known := p.endOf(of.run)
	return known && end.Sub(of.at) < asleep && time.Since(end) > onTheirWay
}

// maxEnds bounds the runs of one partition whose ends are remembered.
const maxEnds = 10_000

// heard notes that a run has come as far as an entry.
func (p *partition) heard(e *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ends == nil || len(p.ends) >= maxEnds {
		p.ends = map[string]time.Time{}
	}
	p.ends[e.run] = e.at
}

// endOf is when the newest message came of a run, as far as it is known.
func (p *partition) endOf(run string) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	end, known := p.ends[run]
	return end, known
}
