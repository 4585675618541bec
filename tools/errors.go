package tools

import (
	"errors"
	"fmt"
)

// ErrUnknownTool says that no upstream offers a tool of that name.
var ErrUnknownTool = errors.New("no such tool")

// ErrChanged says that a tool is no longer what it was when it was looked up:
// gone, redefined or quarantined. It comes with [ErrNotSent].
var ErrChanged = errors.New("the tool has changed since it was looked up")

var errTripped = errors.New("it has failed several times in a row; calls are not sent to it for a moment")

var errNotListed = errors.New("its tools have not been listed yet")

// QuarantinedError says that a tool cannot be called until a person has looked at it.
type QuarantinedError struct {
	Tool *Tool
}

// Error names the tool and the finding.
func (e *QuarantinedError) Error() string {
	return fmt.Sprintf("tool %s is quarantined: %s", printable(e.Tool.Name()), e.Tool.Finding)
}
