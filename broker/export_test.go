package broker

import (
	"context"
	"time"
)

// RenewStatementKey is what the broker does by itself every second.
func (b *Broker) RenewStatementKey(ctx context.Context, now time.Time) { b.renewStatementKey(ctx, now) }
