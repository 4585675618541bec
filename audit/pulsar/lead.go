package pulsar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

var (
	_ seal.Turn   = (*Log)(nil)
	_ seal.Seeded = (*Log)(nil)
)

// leadRetry is how long after a failed attempt to lead the next one is made.
const leadRetry = time.Second

// Lead implements [seal.Turn]: who has the only producer of the checkpoints seals. It
// waits until that is this replica. Only the checkpoints of who leads are taken: others
// get [audit.ErrFenced].
func (l *Log) Lead(ctx context.Context) error {
	p := l.topics[audit.OwnDomain+"/"+audit.TopicCheckpoints][0]
	for {
		err := p.writer.open(ctx)
		if err == nil {
			err = l.catchUp(ctx)
		}
		if err == nil || ctx.Err() != nil || l.isClosed() || l.lease.isLost() {
			return err
		}
		l.options.Logger.LogAttrs(ctx, slog.LevelDebug, "not leading yet", slog.Any("error", err))
		t := time.NewTimer(leadRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// errNotLeading is what who does not lead gets for a checkpoint.
var errNotLeading = fmt.Errorf("%w: another replica seals", audit.ErrFenced)

// newLeader is the writer of checkpoints, which Lead opens.
func newLeader(p *partition, name string, l *lease) *writer {
	w := newWriter(p, name, l)
	w.takesTurns, w.cause = true, errNotLeading
	return w
}

// inTurn are the options of a producer beside which nobody else writes. Once its connection
// is lost it is another's turn. Pulsar would let it wait for the next one of its own, and
// the client then send again, after what others have written since, what was under way
// when its turn ended. So it does not come back: what is under way is given up with it.
func inTurn(topic string) pulsar.ProducerOptions {
	return pulsar.ProducerOptions{
		Topic: topic, DisableBatching: true, SendTimeout: -1,
		ProducerAccessMode: pulsar.ProducerAccessModeWaitForExclusive, MaxReconnectToBroker: new(uint),
	}
}

// Seed implements [seal.Seeded].
func (l *Log) Seed(_ context.Context, log string, f *seal.Frontier) error {
	p := l.partition(log)
	if p == nil {
		return fmt.Errorf("%w: log %q", audit.ErrNotFound, log)
	}
	if err := p.tree.seed(f); err != nil {
		return errors.Join(fmt.Errorf("seed tree of %s: %w", log, err))
	}
	return nil
}
