package openapi

import "context"

// Read reads the document once.
func Read(ctx context.Context, u *Upstream) { _, _ = u.read(ctx) }
