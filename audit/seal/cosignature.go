package seal

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// algCosignature is the signature type of C2SP tlog-cosignature with Ed25519.
const algCosignature = 4

// WitnessKey is the public key of a witness: somebody who signs the checkpoints that it
// has seen to extend those before (C2SP tlog-cosignature). The zero value verifies nothing.
type WitnessKey struct {
	text   string
	name   string
	hash   uint32
	public ed25519.PublicKey
}

// ParseWitnessKey reads a verifier key of type 4, name+hash+base64.
func ParseWitnessKey(text string) (WitnessKey, error) {
	text = strings.TrimSpace(text)
	parts := strings.SplitN(text, "+", 3)
	bad := func(why string) (WitnessKey, error) { return WitnessKey{}, errors.New("parse witness key: " + why) }
	if len(parts) != 3 || !validKeyName(parts[0]) {
		return bad("not of the form name+hash+base64")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return bad("not an Ed25519 key in base64")
	}
	if raw[0] != algCosignature {
		return bad("not the key of a witness, whose type is 4")
	}
	k := newWitnessKey(parts[0], raw[1:])
	if k.text != text {
		return bad("its hash is of another key")
	}
	return k, nil
}

func newWitnessKey(name string, public []byte) WitnessKey {
	typed := append([]byte{algCosignature}, public...)
	sum := sha256.Sum256(append([]byte(name+"\n"), typed...))
	k := WitnessKey{name: name, hash: binary.BigEndian.Uint32(sum[:4]), public: public}
	k.text = fmt.Sprintf("%s+%08x+%s", name, k.hash, base64.StdEncoding.EncodeToString(typed))
	return k
}

// validKeyName is what signed-note says of the names of keys.
func validKeyName(name string) bool {
	return name != "" && len(name) <= 255 && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '+' || r == 0x7f || r == '\u0085' || r == '\u00a0' })
}

// String is the key as text, to be handed to those who ask for its signatures.
func (k WitnessKey) String() string { return k.text }

// Name is the witness's name, which reads like a URL without a scheme.
func (k WitnessKey) Name() string { return k.name }

// KeyHash is what signatures name the key by.
func (k WitnessKey) KeyHash() uint32 { return k.hash }

// Verify reports whether sig is a cosignature of the note's text.
func (k WitnessKey) Verify(text, sig []byte) bool {
	if len(k.public) != ed25519.PublicKeySize || len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig[:8])
	return at <= math.MaxInt64 && ed25519.Verify(k.public, cosigned(at, text), sig[8:])
}

// MarshalText is [WitnessKey.String].
func (k WitnessKey) MarshalText() ([]byte, error) { return []byte(k.text), nil }

// UnmarshalText is [ParseWitnessKey].
func (k *WitnessKey) UnmarshalText(text []byte) (err error) {
	*k, err = ParseWitnessKey(string(text))
	return err
}

// cosigned is what a cosignature signs.
func cosigned(at uint64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...)
}

// Cosigned returns which of the witnesses have cosigned a note, and when. Whether a key
// of the log has signed it is [OpenCheckpoint]'s matter. A signature in the name of a
// witness that is not its own is [ErrSignature].
func Cosigned(signed string, witnesses []WitnessKey) (map[WitnessName]time.Time, error) {
	if len(signed) > maxNoteBytes {
		return nil, errors.New("open cosignatures: too long")
	}
	list := make([]note.Verifier, 0, len(witnesses))
	known := map[string]bool{}
	for _, w := range witnesses {
		if !known[w.text] && w.public != nil {
			known[w.text] = true
			list = append(list, w)
		}
	}
	n, err := note.Open([]byte(signed), note.VerifierList(list...))
	if unverified := (*note.UnverifiedNoteError)(nil); errors.As(err, &unverified) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open cosignatures: %w: %w", ErrSignature, err)
	}
	by := map[WitnessName]time.Time{}
	for _, s := range n.Sigs {
		raw, err := base64.StdEncoding.DecodeString(s.Base64)
		if err != nil || len(raw) < 4+8 {
			return nil, fmt.Errorf("open cosignatures: %w", ErrSignature)
		}
		by[WitnessName{s.Name, s.Hash}] = time.Unix(int64(binary.BigEndian.Uint64(raw[4:12])), 0).UTC() //nolint:gosec // bounded by Verify
	}
	return by, nil
}

// WitnessName tells keys of witnesses apart, as signatures do.
type WitnessName struct {
	Name string
	Hash uint32
}

// Cosigner is the secret key of a witness.
type Cosigner struct {
	secret ed25519.PrivateKey
	key    WitnessKey
}

// cosignerPrefix is before the text of a secret key, as in sumdb/note.
const cosignerPrefix = "PRIVATE+KEY+"

// LoadOrCreateCosigner loads the key at path, or creates it under the name, with the
// care that [LoadOrCreateKey] takes. A key of another name is an error.
func LoadOrCreateCosigner(path, name string) (*Cosigner, error) {
	if !validKeyName(name) {
		return nil, fmt.Errorf("load witness key: %q cannot be the name of a witness", name)
	}
	text, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = createCosigner(path, name); err == nil || errors.Is(err, fs.ErrExist) { // somebody else was faster
			text, err = readKey(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load witness key: %w", err)
	}
	c, err := parseCosigner(text)
	if err != nil {
		return nil, fmt.Errorf("load witness key: %s: %w", path, err)
	}
	if c.key.name != name {
		return nil, fmt.Errorf("load witness key: %s is the key of %s, not of %s", path, c.key.name, name)
	}
	return c, nil
}

func createCosigner(path, name string) error {
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	typed := append([]byte{algCosignature}, secret.Seed()...)
	key := newWitnessKey(name, public)
	return storeKey(path, fmt.Sprintf("%s%s+%08x+%s", cosignerPrefix, name, key.hash, base64.StdEncoding.EncodeToString(typed)))
}

// parseCosigner tells nothing of a text that is no key.
func parseCosigner(text string) (*Cosigner, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), cosignerPrefix)
	parts := strings.SplitN(rest, "+", 3)
	if !ok || len(parts) != 3 {
		return nil, errors.New("not the key of a witness")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != algCosignature {
		return nil, errors.New("not the key of a witness")
	}
	secret := ed25519.NewKeyFromSeed(raw[1:])
	public, _ := secret.Public().(ed25519.PublicKey) // it is one
	key := newWitnessKey(parts[0], public)
	if fmt.Sprintf("%08x", key.hash) != parts[1] {
		return nil, errors.New("not the key of a witness: its hash is of another")
	}
	return &Cosigner{secret: secret, key: key}, nil
}

// Key is the public half.
func (c *Cosigner) Key() WitnessKey { return c.key }

// Cosign returns the signature line for a note's text, with its line break. Whoever calls
// it answers for the checkpoint's extending all that the key has signed of that log.
func (c *Cosigner) Cosign(text string, now time.Time) string {
	at := uint64(max(0, now.Unix()))
	sig := binary.BigEndian.AppendUint32(nil, c.key.hash)
	sig = binary.BigEndian.AppendUint64(sig, at)
	sig = append(sig, ed25519.Sign(c.secret, cosigned(at, []byte(text)))...)
	return "— " + c.key.name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
}
