package pulsar

import (
	"math/rand/v2"
	"time"

	"github.com/apache/pulsar-client-go/pulsar/backoff"
)

// How long to wait before a lost connection is tried again, at first and at last. The
// client's own policy ends with a minute, in which calls would be refused though Pulsar
// is back.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// steady doubles the wait, with a fifth more by chance so that not all come at once.
type steady struct{ wait time.Duration }

func newBackoff() backoff.Policy { return &steady{} }

// Next implements backoff.Policy, as do the others.
func (s *steady) Next() time.Duration {
	s.wait = min(max(2*s.wait, firstRetry), lastRetry)
	return s.wait + rand.N(s.wait/5) //nolint:gosec // nobody gains by guessing it
}

// IsMaxBackoffReached implements backoff.Policy.
func (s *steady) IsMaxBackoffReached() bool { return s.wait >= lastRetry }

// Reset implements backoff.Policy.
func (s *steady) Reset() { s.wait = 0 }
