package toolstest

import "github.com/google/uuid"

// newID is a call id as the broker makes them.
func newID() string { return uuid.Must(uuid.NewV7()).String() }
