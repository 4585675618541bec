package seal

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/deedbroker/deed/audit"
)

// rotationHeader is the first line of a rotation's note; the old and the new
// verifier key follow, a line each.
const rotationHeader = "deed key rotation v1\n"

func rotationText(from, to Verifier) string {
	return rotationHeader + from.String() + "\n" + to.String() + "\n"
}

// HandOver makes the statement by which k, from where it stands in the log, gives
// its place to the successor, a key of the same tenant. It belongs into an
// [audit.KeyRotated] event.
func (k *Key) HandOver(successor Verifier) (audit.Rotation, error) {
	if err := checkSuccessor(k.verifier, successor); err != nil {
		return audit.Rotation{}, fmt.Errorf("rotate key: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: rotationText(k.verifier, successor)}, k.signer)
	if err != nil {
		return audit.Rotation{}, fmt.Errorf("rotate key: %w", err)
	}
	return audit.Rotation{Old: k.verifier.String(), New: successor.String(), Note: string(signed)}, nil
}

// OpenRotation verifies that the key in force, current, signed the rotation, and
// returns the key that is in force after it. A rotation that another key signed,
// or that says something else than its note, is an error.
func OpenRotation(r audit.Rotation, current Verifier) (Verifier, error) {
	if len(r.Note) > maxNoteBytes {
		return Verifier{}, errors.New("open rotation: too long")
	}
	if r.Old != current.String() {
		return Verifier{}, fmt.Errorf("open rotation: it is of %.200q, the key in force is %q", r.Old, current)
	}
	successor, err := ParseVerifier(r.New)
	if err == nil {
		err = checkSuccessor(current, successor)
	}
	if err != nil {
		return Verifier{}, fmt.Errorf("open rotation: %w", err)
	}
	text, _, err := open([]byte(r.Note), []Verifier{current})
	if err != nil {
		return Verifier{}, fmt.Errorf("open rotation: %w: %w", ErrSignature, err)
	}
	if text != rotationText(current, successor) {
		return Verifier{}, errors.New("open rotation: its note says something else")
	}
	return successor, nil
}

// OpenSuccession verifies that a key signed the note of a rotation, for whoever knows only
// that key, and returns the key that takes its place.
func OpenSuccession(signed string, by note.Verifier) (Verifier, error) {
	if len(signed) > maxNoteBytes {
		return Verifier{}, errors.New("open rotation: too long")
	}
	n, err := note.Open([]byte(signed), note.VerifierList(by))
	if err != nil {
		return Verifier{}, fmt.Errorf("open rotation: %w: %w", ErrSignature, err)
	}
	said, _ := strings.CutPrefix(n.Text, rotationHeader)
	old, rest, _ := strings.Cut(said, "\n")
	from, err := ParseVerifier(old)
	if err != nil {
		return Verifier{}, fmt.Errorf("open rotation: %w", err)
	}
	to, err := ParseVerifier(strings.TrimSuffix(rest, "\n"))
	if err == nil {
		err = checkSuccessor(from, to)
	}
	if err != nil {
		return Verifier{}, fmt.Errorf("open rotation: %w", err)
	}
	if n.Text != rotationText(from, to) || from.verifier.Name() != by.Name() || from.verifier.KeyHash() != by.KeyHash() {
		return Verifier{}, errors.New("open rotation: its note says something else")
	}
	return to, nil
}

func checkSuccessor(current, successor Verifier) error {
	switch {
	case successor.verifier == nil, current.verifier == nil:
		return errors.New("there is no key")
	case current.Name() != successor.Name():
		return fmt.Errorf("the key of %s cannot hand over to one of %s", current.Name(), successor.Name())
	case current.String() == successor.String():
		return errors.New("a key cannot hand over to itself")
	}
	return nil
}
