package agents

// Revocations knows who has been stopped, whatever their tokens say. Package
// denylist holds the list; the broker folds it from its log.
type Revocations interface {
	// Denied is why id may do nothing any more: a rejection of the kind Revoked. It is
	// nil for whoever has not been stopped.
	Denied(id *Identity) *Rejection
	// Changed is closed as soon as Denied may answer otherwise than before Changed was called.
	Changed() <-chan struct{}
}
