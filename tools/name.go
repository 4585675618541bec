package tools

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	maxUpstreamName = 32
	maxToolName     = 128
	maxWireName     = 64 // what model APIs take
	wireSeparator   = "__"
	wireDigest      = 10 // hex digits at the end of an altered wire name

	// Reserved is the upstream name that the broker keeps for its own tools.
	Reserved = "deed"
)

// CheckUpstreamName reports why name cannot be an upstream's: it must be 1 to 32
// characters of a-z, 0-9 and -, and not [Reserved].
func CheckUpstreamName(name string) error {
	if name == "" || len(name) > maxUpstreamName {
		return fmt.Errorf("upstream name must have 1 to %d characters", maxUpstreamName)
	}
	if name == Reserved {
		return fmt.Errorf("upstream name %q is reserved", name)
	}
	for _, c := range name {
		if !isLower(c) && !isDigit(c) && c != '-' {
			return fmt.Errorf("upstream name %q may only contain a-z, 0-9 and -", name)
		}
	}
	return nil
}

// QualifiedName is how policies, events and people name a tool: the first dot
// separates, since upstream names have none.
func QualifiedName(upstream, tool string) string { return upstream + "." + tool }

// SplitName is the reverse of [QualifiedName]; ok is false without a dot.
func SplitName(qualified string) (upstream, tool string, ok bool) {
	return strings.Cut(qualified, ".")
}

// WireName is how a tool is named to models, which take ^[a-zA-Z0-9_-]{1,64}$:
// upstream__tool, and where that does not fit, as much of it as does and the
// beginning of a digest of the qualified name.
func WireName(upstream, tool string) string {
	literal := upstream + wireSeparator + tool
	wire := strings.Map(func(r rune) rune {
		if isLower(r) || isUpper(r) || isDigit(r) || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, literal)
	if wire == literal && len(wire) <= maxWireName {
		return wire
	}
	sum := sha256.Sum256([]byte(QualifiedName(upstream, tool)))
	end := "_" + hex.EncodeToString(sum[:])[:wireDigest]
	return cut(wire, maxWireName-len(end)) + end
}

// nameFinding says why a tool's own name cannot be used, or nothing.
func nameFinding(tool string) string {
	if len(tool) > maxToolName {
		return fmt.Sprintf("its name is longer than %d characters", maxToolName)
	}
	for _, c := range tool {
		if !isLower(c) && !isUpper(c) && !isDigit(c) && !strings.ContainsRune("_-./", c) {
			return "its name has characters other than A-Z, a-z, 0-9, _, -, . and /"
		}
	}
	return ""
}

// folded is equal for names that differ only in case or separators.
func folded(tool string) string {
	return strings.NewReplacer("-", "_", ".", "_", "/", "_").Replace(strings.ToLower(tool))
}

// skeleton is equal for names that look alike (the ASCII part of Unicode TS 39, section 4).
func skeleton(tool string) string {
	alike := strings.NewReplacer("I", "l", "1", "l", "0", "o", "O", "o", "-", "_", ".", "_", "/", "_", "rn", "m", "vv", "w")
	return strings.ToLower(alike.Replace(tool))
}

// printable is a stranger's text fit for a sentence: quoted, and cut.
func printable(text string) string { return fmt.Sprintf("%+q", cut(text, 64)) }

// cut is text, or its beginning of at most size bytes, in valid UTF-8.
func cut(text string, size int) string {
	if len(text) <= size {
		return text
	}
	return strings.ToValidUTF8(text[:size], "")
}

func isLower(c rune) bool { return 'a' <= c && c <= 'z' }
func isUpper(c rune) bool { return 'A' <= c && c <= 'Z' }
func isDigit(c rune) bool { return '0' <= c && c <= '9' }
