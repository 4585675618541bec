package seal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/deedbroker/deed/audit"
)

// vouchHeader is the first line of the note under which a statement key is announced;
// its id, the key, the replica that has it and its end follow, a line each.
const vouchHeader = "deed statement key v1\n"

func vouchText(a audit.StatementKey) string {
	return vouchHeader + a.ID + "\n" + a.Public + "\n" + a.Source + "\n" + a.Retires.UTC().Format(time.RFC3339) + "\n"
}

// Vouch signs the announcement of a key that signs statements, so that nobody else who
// can write to control can announce one.
func (k *Key) Vouch(a audit.StatementKey) (audit.StatementKey, error) {
	if strings.ContainsAny(a.ID+a.Public+a.Source, "\n\r") {
		return audit.StatementKey{}, errors.New("vouch for key: a line break")
	}
	signed, err := note.Sign(&note.Note{Text: vouchText(a)}, k.signer)
	if err != nil {
		return audit.StatementKey{}, fmt.Errorf("vouch for key: %w", err)
	}
	a.Note = string(signed)
	return a, nil
}

// Derive is a secret that whoever has the key, and nobody else, comes to: one for each purpose. The
// signature that it is made of is never shown (Ed25519 signs the same text in the same way).
func (k *Key) Derive(purpose string) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: "deed secret v1\n" + strings.ReplaceAll(purpose, "\n", " ") + "\n"}, k.signer)
	if err != nil {
		return nil, fmt.Errorf("derive secret: %w", err)
	}
	sum := sha256.Sum256(signed)
	return sum[:], nil
}

// OpenVouch verifies that one of the keys vouches for an announcement.
func OpenVouch(a audit.StatementKey, keys []Verifier) error {
	if len(a.Note) > maxNoteBytes {
		return errors.New("open announcement: too long")
	}
	text, _, err := open([]byte(a.Note), keys)
	if err != nil {
		return fmt.Errorf("open announcement: %w: %w", ErrSignature, err)
	}
	if text != vouchText(a) {
		return errors.New("open announcement: its note says something else")
	}
	return nil
}
