// Package bench compares.
package bench

import (
	"context"
	"io"
)

// Run runs.
func Run(context.Context, []string, io.Writer, io.Writer) error { return nil }
