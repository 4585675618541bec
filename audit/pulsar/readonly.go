package pulsar

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/verify"
)

var (
	_ verify.Source  = (*Reader)(nil)
	_ verify.Trimmed = (*Reader)(nil)
)

// Reader reads a log and writes nothing: what a reviewer verifies. It needs no more
// than to consume the topics.
type Reader struct{ log *Log }

// OpenReadOnly opens a log to read it. Options.Domains may be left out: they are those
// that checkpoints speak of. Options.Dir must be empty at first: what a log keeps there
// would be trusted. Without payloads neither these nor their keys are read.
func OpenReadOnly(ctx context.Context, o Options, payloads bool) (*Reader, error) {
	o.Replica, o.Admin = "reader", noAdmin // it writes nothing under the one, and asks nothing of the other
	l, err := open(ctx, o, func(l *Log, ctx context.Context) error { return l.openReading(ctx, payloads) })
	if err != nil {
		return nil, err
	}
	return &Reader{l}, nil
}

// noAdmin stands for the admin API of those who ask nothing of it.
const noAdmin = "none"

func (l *Log) openReading(ctx context.Context, payloads bool) error {
	if err := l.findEvents(ctx, audit.OwnDomain); err != nil {
		return err
	}
	if err := l.openTails(ctx); err != nil {
		return err
	}
	domains, err := l.sealedDomains(ctx)
	if err != nil {
		return err
	}
	own := slices.Clone(l.logs)
	for _, d := range append(domains, l.options.Domains...) {
		if l.topics[d+"/"+audit.TopicCalls] == nil {
			if err := l.findEvents(ctx, d); err != nil {
				return err
			}
		}
		if !payloads || l.vaults[d] != nil {
			continue
		}
		v, err := l.newVault(ctx, d)
		if err != nil {
			return err
		}
		l.vaults[d] = v
		if err := v.keys.listen(ctx); err != nil {
			return err
		}
		if err := v.keys.catchUp(ctx); err != nil {
			return err
		}
	}
	return l.openMoreTails(ctx, own)
}

// openMoreTails follows the partitions that are not among those.
func (l *Log) openMoreTails(ctx context.Context, those []*partition) error {
	for _, p := range l.logs {
		if slices.Contains(those, p) {
			continue
		}
		if err := p.openTail(ctx); err != nil {
			return err
		}
		l.follows.Go(func() { p.follow(l.ctx) })
	}
	return nil
}

// sealedDomains are those of which there are checkpoints.
func (l *Log) sealedDomains(ctx context.Context) ([]string, error) {
	if err := l.catchUp(ctx); err != nil {
		return nil, err
	}
	var domains []string
	for r, err := range l.Read(ctx, "") {
		if err != nil {
			return nil, err
		}
		e, err := r.Event()
		if err != nil || e.Type != audit.TreeSigned {
			continue // whoever verifies finds it
		}
		c, err := audit.DataOf[audit.Checkpoint](e)
		if err != nil {
			continue
		}
		if d, _, _ := audit.SplitLog(c.Log); !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	return domains, nil
}

// Sizes is [Log.Sizes].
func (r *Reader) Sizes(ctx context.Context) (map[string]int64, error) { return r.log.Sizes(ctx) }

// Read is [Log.Read].
func (r *Reader) Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	return r.log.Read(ctx, from)
}

// Record is [Log.Record].
func (r *Reader) Record(ctx context.Context, p audit.Position) (audit.Record, error) {
	return r.log.Record(ctx, p)
}

// Payload is [Log.Payload].
func (r *Reader) Payload(ctx context.Context, p audit.Position, name string) (audit.Payload, error) {
	return r.log.Payload(ctx, p, name)
}

// First implements [verify.Trimmed].
func (r *Reader) First(_ context.Context, log string) (int64, error) {
	p := r.log.partition(log)
	if p == nil {
		return 0, fmt.Errorf("%w: log %q", audit.ErrNotFound, log)
	}
	return p.tree.first(), nil
}

// Close ends the reading.
func (r *Reader) Close() error { return r.log.Close() }
