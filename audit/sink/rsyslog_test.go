package sink_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit/sink"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// rsyslog starts a server with more at the head of its configuration, and returns where it
// listens and the file that it writes messages to.
func rsyslog(t *testing.T, head, module string) (address, out string) {
	t.Helper()
	binary, dir, address := need.Env(t, need.Rsyslog), t.TempDir(), need.Address(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	config, out := filepath.Join(dir, "conf"), filepath.Join(dir, "out")
	text := fmt.Sprintf(`%[4]s
module(load="imtcp"%[5]s)
global(workDirectory="%[1]s" maxMessageSize="64k")
template(name="t" type="string" string="%%app-name%% %%msgid%% %%syslogfacility-text%%.%%syslogseverity-text%% %%structured-data%% %%msg%%\n")
ruleset(name="r") { action(type="omfile" file="%[2]s" template="t") }
input(type="imtcp" port="%[3]s" address="127.0.0.1" ruleset="r")
`, dir, out, port, head, module)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-n", "-f", config, "-i", filepath.Join(dir, "pid"))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it was killed
	return address, out
}

// checkTaken waits until the file has the calls, and finds in each what we put there.
func checkTaken(t *testing.T, out string, want []string) {
	t.Helper()
	var lines []string
	for deadline := time.Now().Add(patience); len(lines) < len(want); {
		if time.Now().After(deadline) {
			t.Fatalf("it has %d of %d", len(lines), len(want))
		}
		b, err := os.ReadFile(out)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		lines = strings.SplitAfter(strings.TrimSpace(string(b)), "\n")
	}
	for i, id := range want {
		head, document, ok := strings.Cut(lines[i], " {")
		if !ok || !strings.HasPrefix(head, "deed call audit.notice [deed@32473 ") || !strings.Contains(head, `call="`+id+`"`) || !json.Valid([]byte("{"+document)) {
			t.Fatalf("line %d is %q", i, lines[i])
		}
	}
}

// rsyslog takes the messages over TCP.
func TestRsyslogTakesCalls(t *testing.T) {
	t.Parallel()
	address, out := rsyslog(t, "", "")
	l := newLog(t)
	want := called(t, l, "payments", 50)
	running(t, l, filepath.Join(t.TempDir(), "place"), &sink.Syslog{Address: address, Hostname: "here", Version: "1"})
	checkTaken(t, out, want)
}

// rsyslog takes the messages over TLS, from whoever knows its authority; its certificate
// comes from one that the sink trusts, or nothing is sent.
func TestRsyslogTakesCallsOverTLS(t *testing.T) {
	t.Parallel()
	cert := newCertificate(t)
	address, out := cert.rsyslog(t)
	l := newLog(t)
	want := called(t, l, "payments", 50)
	stranger, _ := running(t, l, filepath.Join(t.TempDir(), "stranger"), &sink.Syslog{
		Address: address, Hostname: "stranger", Version: "1", TLS: &tls.Config{ServerName: "127.0.0.1", RootCAs: newCertificate(t).pool, MinVersion: tls.VersionTLS12},
	})
	running(t, l, filepath.Join(t.TempDir(), "place"), &sink.Syslog{
		Address: address, Hostname: "here", Version: "1", TLS: &tls.Config{ServerName: "127.0.0.1", RootCAs: cert.pool, MinVersion: tls.VersionTLS12},
	})
	checkTaken(t, out, want)
	for deadline := time.Now().Add(patience); ; {
		status := stranger.Status(time.Now())
		if unknown, ok := errors.AsType[x509.UnknownAuthorityError](status.Trouble); ok && status.Sent == 0 {
			t.Logf("to a stranger: %v", unknown)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("what trusts another authority: %+v", status)
		}
	}
}

// certificate is one of 127.0.0.1, signed by itself, in files.
type certificate struct {
	certFile, keyFile string
	pool              *x509.CertPool
	pair              tls.Certificate
}

func newCertificate(t *testing.T) *certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rsyslog"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := &certificate{certFile: filepath.Join(t.TempDir(), "cert.pem"), keyFile: filepath.Join(t.TempDir(), "key.pem"), pool: x509.NewCertPool()}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c.pool.AppendCertsFromPEM(text)
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})
	if err := errors.Join(os.WriteFile(c.certFile, text, 0o600), os.WriteFile(c.keyFile, private, 0o600)); err != nil {
		t.Fatal(err)
	}
	if c.pair, err = tls.X509KeyPair(text, private); err != nil {
		t.Fatal(err)
	}
	return c
}

// rsyslog is a server that speaks TLS by its OpenSSL driver, if the machine has that; if
// not, by a front of our own.
func (c *certificate) rsyslog(t *testing.T) (address, out string) {
	t.Helper()
	if drivers, err := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_ossl.so"); err == nil && len(drivers) > 0 {
		t.Log("rsyslog speaks TLS itself")
		head := fmt.Sprintf(`global(defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="%[1]s" defaultNetstreamDriverCertFile="%[1]s" defaultNetstreamDriverKeyFile="%[2]s")`,
			c.certFile, c.keyFile)
		return rsyslog(t, head, ` streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon"`)
	}
	behind, out := rsyslog(t, "", "")
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{c.pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	var owned sync.WaitGroup
	owned.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			owned.Go(func() { relay(t, conn, behind) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); owned.Wait() })
	return l.Addr().String(), out
}

// relay passes on what comes, until the sink closes.
func relay(t *testing.T, from net.Conn, address string) {
	t.Helper()
	defer from.Close() //nolint:errcheck // its other side is gone, or has had enough
	to, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return // the sink tries again
	}
	defer to.Close() //nolint:errcheck // the same
	_, _ = io.Copy(to, from)
}
