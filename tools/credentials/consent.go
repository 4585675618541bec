package credentials

import "fmt"

// ConsentError is in the chain of errors where a person has to consent before an upstream can be used.
type ConsentError struct {
	Upstream string
	Reason   string // in words of the broker's own
	More     bool   // what was consented to is still good for other calls
}

// Error says why, and what is to be done.
func (e *ConsentError) Error() string {
	return fmt.Sprintf("%s: an operator has to run `deed upstreams login %s`", e.Reason, e.Upstream)
}
