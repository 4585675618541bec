package pulsar

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Superuser is the role that may do everything.
const Superuser = "superuser"

// Keys are what a Pulsar and its clients trust each other by.
type Keys struct{ Dir string }

// The files of a [Keys] directory.
const (
	PrivateKey     = "token.key"       // signs tokens: PKCS #8, DER
	PublicKey      = "token.pub"       // checks them
	SuperuserToken = "superuser.token" // without an end
	CA             = "ca.pem"          // of servers' and clients' certificates
	caKey          = "ca.key"
	serverCert     = "server.pem"
	serverKey      = "server.key"
)

// NewKeys makes keys in dir unless it has some.
func NewKeys(dir string) (Keys, error) {
	k := Keys{Dir: dir}
	if _, err := os.Stat(k.Path(SuperuserToken)); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return k, err
	}
	for _, step := range []func() error{k.makeTokenKeys, k.makeCertificates, k.makeSuperuser} {
		if err := step(); err != nil {
			return k, fmt.Errorf("make keys for Pulsar: %w", err)
		}
	}
	return k, nil
}

// Path is that of one of the files.
func (k Keys) Path(file string) string { return filepath.Join(k.Dir, file) }

func (k Keys) makeTokenKeys() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(k.Path(PrivateKey), private, 0o600), os.WriteFile(k.Path(PublicKey), public, 0o600))
}

func (k Keys) makeSuperuser() error {
	token, err := k.Token(Superuser, 0)
	if err != nil {
		return err
	}
	return os.WriteFile(k.Path(SuperuserToken), []byte(token), 0o600)
}

// Token makes a token for a role. It expires after lifetime, or never if that is 0.
func (k Keys) Token(role string, lifetime time.Duration) (string, error) {
	key, err := k.TokenKey()
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	claims := jwt.Claims{Subject: role, IssuedAt: jwt.NewNumericDate(time.Now())}
	if lifetime != 0 {
		claims.Expiry = jwt.NewNumericDate(time.Now().Add(lifetime))
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("make token: %w", err)
	}
	return token, nil
}

// TokenKey is the key that signs tokens, with RS256.
func (k Keys) TokenKey() (crypto.Signer, error) {
	der, err := os.ReadFile(k.Path(PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("read token key: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("read token key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read token key: %T can't sign", key)
	}
	return signer, nil
}
