package seal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
)

// ErrSignature says that a note is not signed by a key that was asked for, or not as it stands.
var ErrSignature = errors.New("signature does not verify")

// maxNoteBytes bounds the notes that are opened.
const maxNoteBytes = 64 << 10

// Checkpoint says how large a log is and what its root hash is.
type Checkpoint struct {
	Tenant string
	Log    string // "payments/calls", or "payments/calls/2" where a topic has partitions
	Size   int64
	Root   tlog.Hash
}

// Origin is the first line of a log's checkpoints: deed/{tenant}/{log}.
func Origin(tenant, log string) string { return KeyName(tenant) + "/" + log }

// Origin is the checkpoint's first line.
func (c Checkpoint) Origin() string { return Origin(c.Tenant, c.Log) }

// Text is the checkpoint's body as in C2SP tlog-checkpoint, without extension lines.
func (c Checkpoint) Text() string {
	return c.Origin() + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// Sign signs the checkpoint. Whoever calls it answers for its being consistent
// with everything that the key has signed of that log before.
func (k *Key) Sign(c Checkpoint) (string, error) {
	if got, err := parseCheckpoint(c.Text()); err != nil || got != c {
		return "", fmt.Errorf("sign checkpoint: %q at %d is not a log's checkpoint", c.Origin(), c.Size)
	}
	if KeyName(c.Tenant) != k.verifier.Name() {
		return "", fmt.Errorf("sign checkpoint: the key of %s cannot sign for %s", k.verifier.Name(), c.Origin())
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, k.signer)
	if err != nil {
		return "", fmt.Errorf("sign checkpoint: %w", err)
	}
	return string(signed), nil
}

// OpenCheckpoint verifies a signed checkpoint: one of the keys signed it, and it
// is of a log of that key's tenant. It returns the key that did. A bad or missing
// signature is [ErrSignature].
func OpenCheckpoint(signed string, keys ...Verifier) (Checkpoint, Verifier, error) {
	if len(signed) > maxNoteBytes {
		return Checkpoint{}, Verifier{}, errors.New("open checkpoint: too long")
	}
	text, by, err := open([]byte(signed), keys)
	if err != nil {
		return Checkpoint{}, Verifier{}, fmt.Errorf("open checkpoint: %w: %w", ErrSignature, err)
	}
	c, err := parseCheckpoint(text)
	if err == nil && KeyName(c.Tenant) != by.Name() {
		err = fmt.Errorf("%w: the key of %s signed for %s", ErrSignature, by.Name(), c.Origin())
	}
	if err != nil {
		return Checkpoint{}, Verifier{}, fmt.Errorf("open checkpoint: %w", err)
	}
	return c, by, nil
}

// OpenEvent is [OpenCheckpoint] for the data of an [audit.TreeSigned] event, whose
// own words have to agree with its note.
func OpenEvent(e audit.Checkpoint, keys ...Verifier) (Checkpoint, Verifier, error) {
	c, by, err := OpenCheckpoint(e.Note, keys...)
	if err != nil {
		return Checkpoint{}, Verifier{}, err
	}
	if c.Log != e.Log || c.Size != e.Size {
		return Checkpoint{}, Verifier{}, fmt.Errorf("open checkpoint: the event says %s at %d, its note %s at %d", e.Log, e.Size, c.Log, c.Size)
	}
	return c, by, nil
}

func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, errors.New("not three lines")
	}
	parts := strings.Split(lines[0], "/")
	if len(parts) < 4 || len(parts) > 5 || parts[0] != "deed" || slices.ContainsFunc(parts, func(s string) bool { return !validSegment(s) }) {
		return Checkpoint{}, errors.New("origin is not of the form deed/tenant/domain/topic, or deed/tenant/domain/topic/partition")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, errors.New("tree size is not a number")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, errors.New("root hash is not 32 bytes in base64")
	}
	return Checkpoint{Tenant: parts[1], Log: strings.Join(parts[2:], "/"), Size: size, Root: tlog.Hash(root)}, nil
}
