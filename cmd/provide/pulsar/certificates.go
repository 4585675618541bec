package pulsar

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// certificateLife is longer than any test or demonstration.
const certificateLife = 30 * 24 * time.Hour

// makeCertificates makes a certificate authority and the server's certificate.
func (k Keys) makeCertificates() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := certificate("Deed's own Pulsar")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		return err
	}
	if err := k.write(CA, caKey, der, key); err != nil {
		return err
	}
	server := certificate("localhost")
	server.DNSNames, server.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	return k.issue(server, serverCert, serverKey)
}

// Certificate makes a client certificate for a role, in the files role.pem and role.key.
func (k Keys) Certificate(role string) (certFile, keyFile string, err error) {
	client := certificate(role)
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	certFile, keyFile = role+".pem", role+".key"
	if err := k.issue(client, certFile, keyFile); err != nil {
		return "", "", fmt.Errorf("make certificate of %s: %w", role, err)
	}
	return k.Path(certFile), k.Path(keyFile), nil
}

func (k Keys) issue(c *x509.Certificate, certFile, keyFile string) error {
	ca, err := tls.LoadX509KeyPair(k.Path(CA), k.Path(caKey))
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca.Leaf, key.Public(), ca.PrivateKey)
	if err != nil {
		return err
	}
	return k.write(certFile, keyFile, der, key)
}

func certificate(name string) *x509.Certificate {
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails (crypto/rand)
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func (k Keys) write(certFile, keyFile string, cert []byte, key crypto.Signer) error {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	writePEM := func(file, kind string, der []byte) error {
		return os.WriteFile(k.Path(file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	return errors.Join(writePEM(certFile, "CERTIFICATE", cert), writePEM(keyFile, "PRIVATE KEY", private))
}
