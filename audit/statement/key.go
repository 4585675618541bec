package statement

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/deedbroker/deed/audit"
)

const (
	mediaType = "txntoken+jwt"
	algorithm = "EdDSA"
	maxBytes  = 8 << 10 // of a statement that is read
)

var b64 = base64.RawURLEncoding

// Key signs statements. It lives in memory alone.
type Key struct {
	id     string
	secret ed25519.PrivateKey
	header string // of every statement, encoded
	since  time.Time
}

// NewKey makes a key that has never signed anything.
func NewKey(now time.Time) (*Key, error) {
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	id := thumbprint(public)
	header, _ := json.Marshal(header{Algorithm: algorithm, Type: mediaType, Key: id}) // strings always marshal
	return &Key{id: id, secret: secret, header: b64.EncodeToString(header), since: now}, nil
}

// ID names the key: its thumbprint (RFC 7638).
func (k *Key) ID() string { return k.id }

// Age is how long ago the key was made.
func (k *Key) Age(now time.Time) time.Duration { return now.Sub(k.since) }

// Announcement is what control says of the key before it is used, but for the vouching of
// the key that seals the log.
func (k *Key) Announcement(source string, retires time.Time) audit.StatementKey {
	public, _ := k.secret.Public().(ed25519.PublicKey) // it always is
	return audit.StatementKey{ID: k.id, Public: b64.EncodeToString(public), Source: source, Retires: retires.UTC().Truncate(time.Second)}
}

type header struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	Key       string `json:"kid"`
}

// Sign states c.
func (k *Key) Sign(c Claims) (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("sign statement: %w", err)
	}
	out := make([]byte, 0, len(k.header)+1+b64.EncodedLen(len(body))+1+b64.EncodedLen(ed25519.SignatureSize))
	out = append(out, k.header...)
	out = b64.AppendEncode(append(out, '.'), body)
	signature := ed25519.Sign(k.secret, out)
	return string(b64.AppendEncode(append(out, '.'), signature)), nil
}

// Keys are public keys by their ids.
type Keys map[string]ed25519.PublicKey

// Errors of [Keys.Open].
var (
	ErrUnknownKey = errors.New("the statement is signed by a key that is not known")
	ErrSignature  = errors.New("the statement's signature is not valid")
)

// Open verifies the signature of a statement, and gives what it says and which key says it.
// Whether it fits, and may be acted on, is for [Claims.Fits] and [Claims.Current].
func (k Keys) Open(token string) (Claims, string, error) {
	t, err := k.parse(token)
	if err == nil && !ed25519.Verify(t.public, t.message, t.signature) {
		err = ErrSignature
	}
	var c Claims
	if err == nil {
		c, err = t.claims()
	}
	if err != nil {
		return Claims{}, "", fmt.Errorf("open statement: %w", err)
	}
	return c, t.key, nil
}

// parsed is a statement whose signature is still to be verified.
type parsed struct {
	key                string
	public             ed25519.PublicKey
	message, signature []byte
	body               string
}

func (k Keys) parse(token string) (parsed, error) {
	if len(token) > maxBytes {
		return parsed{}, errors.New("it is too long")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return parsed{}, errors.New("it is not a JWT")
	}
	var h header
	if err := decode(parts[0], &h); err != nil || h.Type != mediaType || h.Algorithm != algorithm {
		return parsed{}, fmt.Errorf("it is not of the type %s, signed by %s", mediaType, algorithm)
	}
	public, ok := k[h.Key]
	if !ok {
		return parsed{}, ErrUnknownKey
	}
	signature, err := b64.Strict().DecodeString(parts[2])
	if err != nil || len(public) != ed25519.PublicKeySize {
		return parsed{}, ErrSignature
	}
	return parsed{h.Key, public, []byte(token[:len(token)-len(parts[2])-1]), signature, parts[1]}, nil
}

func (t parsed) claims() (Claims, error) {
	var c Claims
	if err := decode(t.body, &c); err != nil || c.depth() > maxActors {
		return Claims{}, errors.New("its claims cannot be read")
	}
	return c, nil
}

// decode reads a part of a JWT strictly: no name twice.
func decode(part string, into any) error {
	raw, err := b64.Strict().DecodeString(part)
	if err != nil {
		return err
	}
	return jsonv2.Unmarshal(raw, into)
}

// Public reads the key that an announcement names.
func Public(a audit.StatementKey) (ed25519.PublicKey, error) {
	public, err := b64.Strict().DecodeString(a.Public)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return nil, errors.New("read statement key: it is no Ed25519 key")
	}
	if thumbprint(public) != a.ID {
		return nil, errors.New("read statement key: its id is not its thumbprint")
	}
	return public, nil
}

// thumbprint is that of RFC 7638, of an octet key pair (RFC 8037 section 2).
func thumbprint(public ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + b64.EncodeToString(public) + `"}`))
	return b64.EncodeToString(sum[:])
}

// JWK is a public key as a JWK set has it (RFC 7517, RFC 8037).
type JWK struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

// JWKSet is the keys of all replicas, the latest first.
type JWKSet struct {
	Keys []JWK `json:"keys"`
}

// JWKOf is an announced key for a JWK set.
func JWKOf(a audit.StatementKey) JWK {
	return JWK{Type: "OKP", Curve: "Ed25519", X: a.Public, ID: a.ID, Use: "sig", Algorithm: algorithm}
}

// KeysOf reads a JWK set. Keys of other kinds are left out.
func KeysOf(set JWKSet) Keys {
	keys := Keys{}
	for _, k := range set.Keys {
		if k.Type != "OKP" || k.Curve != "Ed25519" {
			continue
		}
		if public, err := Public(audit.StatementKey{ID: k.ID, Public: k.X}); err == nil {
			keys[k.ID] = public
		}
	}
	return keys
}
