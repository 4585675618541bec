package push

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const pemType = "DEED PUSH KEY"

// Key signs what is pushed. Browsers subscribe to its public half, so that all replicas
// behind one address need the same.
type Key struct{ private *ecdh.PrivateKey }

// LoadOrCreateKey reads the key in a file, which it makes if it is not there.
func LoadOrCreateKey(path string) (Key, error) {
	text, err := os.ReadFile(path) //nolint:gosec // in the data directory
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("load push key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return Key{}, fmt.Errorf("load push key: %s has no %s", path, pemType)
	}
	private, err := ecdh.P256().NewPrivateKey(block.Bytes)
	if err != nil {
		return Key{}, fmt.Errorf("load push key: %s: %w", path, err)
	}
	return Key{private}, nil
}

func createKey(path string) (Key, error) {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: private.Bytes()}), 0o600)
	}
	if err != nil {
		return Key{}, fmt.Errorf("create push key: %w", err)
	}
	return Key{private}, nil
}

// Public is what browsers subscribe to: an uncompressed point, in base64url.
func (k Key) Public() string {
	return base64.RawURLEncoding.EncodeToString(k.private.PublicKey().Bytes())
}

func (k Key) secret() string { return base64.RawURLEncoding.EncodeToString(k.private.Bytes()) }
