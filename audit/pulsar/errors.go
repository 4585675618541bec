package pulsar

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/pulsar-client-go/pulsar"

	"github.com/deedbroker/deed/audit"
)

// Why Pulsar does not take or give records. Each is an [audit.ErrUnavailable], or says
// more about one.
var (
	// ErrNotPermitted: Pulsar does not let this role do what was asked.
	ErrNotPermitted = errors.New("Pulsar does not permit it to this role") //nolint:staticcheck // a name
	// ErrTerminated: somebody ended the topic for good.
	ErrTerminated = errors.New("the topic was terminated")
	// ErrQuota: the topic's backlog quota is used up.
	ErrQuota = errors.New("the topic's backlog quota is used up")
	// ErrFenced: another process produces under this replica's name.
	ErrFenced = errors.New("another process writes under this replica's name")
)

// meaning translates what the client or the broker said. Several of the errors are
// plain text only. It is never about whether something was stored.
func meaning(err error) error {
	text := err.Error()
	is := func(target error, phrases ...string) bool {
		if target != nil && errors.Is(err, target) {
			return true
		}
		for _, p := range phrases {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case is(pulsar.ErrTopicTerminated, "TopicTerminated"):
		return fmt.Errorf("%w: %w: %w", audit.ErrUnavailable, ErrTerminated, err)
	case is(pulsar.ErrProducerBlockedQuotaExceeded, "ProducerBlockedQuotaExceeded"):
		return fmt.Errorf("%w: %w: %w", audit.ErrFull, ErrQuota, err)
	case is(pulsar.ErrProducerFenced, "ProducerFenced", "ProducerBusy"):
		return fmt.Errorf("%w: %w: %w", audit.ErrUnavailable, ErrFenced, err)
	case is(nil, "AuthorizationError", "AuthenticationError", "not authorized", "Unauthorized"):
		return fmt.Errorf("%w: %w: %w", audit.ErrUnavailable, ErrNotPermitted, err)
	case is(pulsar.ErrTopicNotfound, "TopicNotFound"):
		return fmt.Errorf("%w: the topic is not there, run `deed topics apply`: %w", audit.ErrUnavailable, err)
	case is(pulsar.ErrMessageTooLarge):
		return fmt.Errorf("%w: %w", audit.ErrTooLarge, err)
	case is(context.Canceled), is(context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	default:
		return fmt.Errorf("%w: %w", audit.ErrUnavailable, err)
	}
}

// errClosed is what a closed log answers.
var errClosed = fmt.Errorf("%w: it is closed", audit.ErrUnavailable)
