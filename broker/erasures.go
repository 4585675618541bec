package broker

import (
	"context"

	"github.com/deedbroker/deed/audit"
)

// RecordErasure records that payloads are about to be erased, since they have outlived
// their retention. Whoever erases them does it only if this returns without an error.
func (b *Broker) RecordErasure(ctx context.Context, e audit.Erasure) error {
	return b.write(ctx, audit.PayloadsErased, control(), e)
}
