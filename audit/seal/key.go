package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// maxKeyBytes bounds what is read from a key file.
const maxKeyBytes = 4096

// Key signs checkpoints. Its secret never leaves it but into its file.
type Key struct {
	signer   note.Signer
	verifier Verifier
}

// Verifier is the public half of a [Key]. The zero value verifies nothing.
type Verifier struct {
	text     string
	verifier note.Verifier
}

// PermissionError tells of a key file, or its directory, that others can read or replace.
type PermissionError struct {
	Path string
	Mode fs.FileMode // what it has
	Want fs.FileMode // what it may have at most
}

func (e *PermissionError) Error() string {
	return fmt.Sprintf("%s has mode %#o: make it %#o, others must not get at the key", e.Path, e.Mode.Perm(), e.Want)
}

// KeyName is the name under which the tenant's key signs: deed/{tenant}.
func KeyName(tenant string) string { return "deed/" + tenant }

// CreateKey makes a new key for the tenant and stores it at path, with mode 0600
// in a directory of mode 0700 that is made if need be. It is durable when
// CreateKey returns. An existing file is never replaced: that is an error that
// wraps [fs.ErrExist].
func CreateKey(path, tenant string) (*Key, error) {
	if !validSegment(tenant) {
		return nil, fmt.Errorf("create key: %q cannot be a tenant", tenant)
	}
	secret, _, err := note.GenerateKey(rand.Reader, KeyName(tenant))
	if err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	if err := storeKey(path, secret); err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	return LoadKey(path)
}

func storeKey(path, secret string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := checkMode(dir, 0o700); err != nil {
		return err
	}
	// A key that was written in part must not stand where a whole one is looked for.
	f, err := os.CreateTemp(dir, ".key-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(secret + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path) // fails where there is one
	}
	return errors.Join(err, os.Remove(f.Name()), syncDir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// LoadKey reads the key at path. It refuses, with a [*PermissionError], a file
// that others may read and a directory that others may enter.
func LoadKey(path string) (*Key, error) {
	text, err := readKey(path)
	if err != nil {
		return nil, fmt.Errorf("load key: %w", err)
	}
	key, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("load key: %s: %w", path, err)
	}
	return key, nil
}

func readKey(path string) (string, error) {
	if err := errors.Join(checkMode(path, 0o600), checkMode(filepath.Dir(path), 0o700)); err != nil {
		return "", err
	}
	f, err := os.Open(path) //nolint:gosec // the operator's own path
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyBytes))
	return string(text), errors.Join(err, f.Close())
}

// LoadOrCreateKey loads the key at path, or creates it for the tenant. A key of
// another tenant is an error.
func LoadOrCreateKey(path, tenant string) (*Key, error) {
	key, err := LoadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = CreateKey(path, tenant)
		if errors.Is(err, fs.ErrExist) { // somebody else was faster
			key, err = LoadKey(path)
		}
	}
	if err != nil {
		return nil, err
	}
	if got := key.verifier.Name(); got != KeyName(tenant) {
		return nil, fmt.Errorf("load key: %s is the key of %s, not of %s", path, got, KeyName(tenant))
	}
	return key, nil
}

func checkMode(path string, want fs.FileMode) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&^want != 0 {
		return &PermissionError{Path: path, Mode: info.Mode().Perm(), Want: want}
	}
	return nil
}

// ParseKey reads the text of a key file: a note signer key (golang.org/x/mod/sumdb/note).
// The error never contains any of it.
func ParseKey(text string) (*Key, error) {
	text = strings.TrimSpace(text)
	signer, err := note.NewSigner(text)
	if err != nil {
		return nil, errors.New("parse key: not a key")
	}
	verifier, err := verifierOf(text)
	if err != nil {
		return nil, err
	}
	return &Key{signer: signer, verifier: verifier}, nil
}

// Verifier is the public half of the key.
func (k *Key) Verifier() Verifier { return k.verifier }

// ParseVerifier reads a verifier key as [Verifier.String] writes it.
func ParseVerifier(text string) (Verifier, error) {
	text = strings.TrimSpace(text)
	v, err := note.NewVerifier(text)
	if err != nil {
		return Verifier{}, fmt.Errorf("parse verifier key: %w", err)
	}
	return Verifier{text: text, verifier: v}, nil
}

// String is the verifier key as text, name+hash+base64, to be handed to reviewers.
func (v Verifier) String() string { return v.text }

// Name is the name of the key, deed/{tenant}.
func (v Verifier) Name() string {
	if v.verifier == nil {
		return ""
	}
	return v.verifier.Name()
}

// Note is the key as package note takes it; nil of the zero value.
func (v Verifier) Note() note.Verifier { return v.verifier }

// MarshalText is [Verifier.String].
func (v Verifier) MarshalText() ([]byte, error) { return []byte(v.text), nil }

// UnmarshalText is [ParseVerifier].
func (v *Verifier) UnmarshalText(text []byte) (err error) {
	*v, err = ParseVerifier(string(text))
	return err
}

// validSegment keeps tenants and log names apart in origins and notes.
func validSegment(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-=", r)
	}) < 0
}
