package client

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	separator = "__"
	maxWire   = 64
	digest    = 10 // hex digits of it
)

// WireName is how a broker names a tool on /mcp: what policies, events and people call
// upstream.tool is upstream__tool there, since model APIs take no dots, and
// what does not fit their 64 characters ends in a digest. A name without a dot is taken
// for a wire name already.
func WireName(tool string) string {
	upstream, own, ok := strings.Cut(tool, ".")
	if !ok {
		return tool
	}
	literal := upstream + separator + own
	wire := strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, literal)
	if wire == literal && len(wire) <= maxWire {
		return wire
	}
	sum := sha256.Sum256([]byte(tool))
	end := "_" + hex.EncodeToString(sum[:])[:digest]
	return wire[:min(len(wire), maxWire-len(end))] + end
}
