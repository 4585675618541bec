package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
)

// rejectionsEvery is how often, at most, rejections of one kind at one issuer are
// written to the log. Whoever has no valid token can make the log grow no faster.
const rejectionsEvery = 10 * time.Second

// rejections counts tokens that did not verify, and samples them.
type rejections struct {
	mu     sync.Mutex
	counts map[rejected]*tally    // guarded by mu: since the last sample
	last   map[rejected]time.Time // guarded by mu
}

// rejected is bounded: kinds times configured issuers, and revocations in force.
type rejected struct {
	kind       agents.Kind
	issuer     string
	revocation string
}

// tally is how many there were, and whose the latest was, if its token verified.
type tally struct {
	n   int64
	who *agents.Identity
}

func newRejections() *rejections {
	return &rejections{counts: map[rejected]*tally{}, last: map[rejected]time.Time{}}
}

// Reject counts a token that did not verify, or that was used for what is not its
// bearer's. It never waits for the log: a sample of
// each kind goes to the rejections topic every few seconds, with the count.
func (b *Broker) Reject(ctx context.Context, r *agents.Rejection) {
	b.metrics.rejected.Add(ctx, 1, metric.WithAttributes(attribute.String("kind", string(r.Kind))))
	b.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "token rejected", slog.Any("error", r))
	b.rejections.mu.Lock()
	defer b.rejections.mu.Unlock()
	k := rejected{r.Kind, r.Issuer, r.Revocation}
	if b.rejections.counts[k] == nil {
		b.rejections.counts[k] = &tally{}
	}
	b.rejections.counts[k].n++
	b.rejections.counts[k].who = r.Identity
}

// due takes the counts whose sample may be written now; all of them at the end.
func (r *rejections) due(now time.Time, all bool) map[rejected]*tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := map[rejected]*tally{}
	for k, at := range r.last {
		if r.counts[k] == nil && now.Sub(at) >= rejectionsEvery {
			delete(r.last, k)
		}
	}
	for k, n := range r.counts {
		if all || now.Sub(r.last[k]) >= rejectionsEvery {
			due[k] = n
			r.last[k] = now
			delete(r.counts, k)
		}
	}
	return due
}

func (b *Broker) sampleRejections(ctx context.Context, now time.Time, all bool) {
	away := false
	for k, n := range b.rejections.due(now, all) {
		where := about{domain: audit.OwnDomain, topic: audit.TopicRejections}
		data := audit.Rejection{Kind: string(k.kind), Issuer: k.issuer, Count: n.n, Revocation: k.revocation}
		if n.who != nil {
			who := recorded(n.who)
			data.Identity = &who
		}
		if !away {
			err := b.write(ctx, audit.TokenRejected, where, data)
			if err == nil {
				continue
			}
			away = true // one wait is enough
			b.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "rejections not recorded",
				slog.String("kind", string(k.kind)), slog.Any("error", err))
		}
		b.rejections.again(k, n)
	}
}

// again keeps a count whose sample was not written for the next one.
func (r *rejections) again(k rejected, n *tally) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.counts[k]; now != nil {
		n = &tally{n.n + now.n, now.who}
	}
	r.counts[k] = n
}
