package pulsar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/deedbroker/deed/cmd/provide"
)

// Standalone is a whole Pulsar in one process. Its data, keys and ports are in its
// directory and outlast it: started again it is the same Pulsar.
type Standalone struct {
	Keys Keys

	ports   map[string]int
	process provide.Process
}

// The names of its ports.
const (
	portBroker, portHTTP       = "broker", "http"
	portBrokerTLS, portHTTPTLS = "broker-tls", "http-tls"
	portBookie                 = "bookie"
)

// BrokerPort stands, in an override, for the port at which clients connect.
const BrokerPort = "{broker-port}"

// NewStandalone prepares a Pulsar in dir. The overrides are settings of Pulsar's
// configuration.
func NewStandalone(ctx context.Context, d *Distribution, dir string, overrides map[string]string) (_ *Standalone, err error) {
	fail := func(err error) (*Standalone, error) { return nil, fmt.Errorf("prepare Pulsar in %s: %w", dir, err) }
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o700); err != nil {
		return fail(err)
	}
	unlock, err := provide.Lock(ctx, filepath.Join(dir, "prepare.lock")) // tests that ask at the same time get the same
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	keys, err := NewKeys(filepath.Join(dir, "keys"))
	if err != nil {
		return fail(err)
	}
	ports, err := provide.Ports(ctx, dir, portBroker, portHTTP, portBrokerTLS, portHTTPTLS, portBookie)
	if err != nil {
		return fail(err)
	}
	s := &Standalone{Keys: keys, ports: ports}
	conf := filepath.Join(dir, "pulsar.conf")
	if err := errors.Join(s.settings(overrides).write(conf), os.WriteFile(filepath.Join(dir, "log4j2.xml"), []byte(log4j), 0o600)); err != nil {
		return fail(err)
	}
	s.process = provide.Process{
		Dir: dir, Ready: s.ready,
		Command: d.command(dir, memory{heap: "768m", direct: "512m"}, []string{"-Dpulsar.config.file=" + conf},
			"org.apache.pulsar.PulsarStandaloneStarter", "-c", conf, "--no-functions-worker", "-nss", "-a", "127.0.0.1",
			"--metadata-dir", filepath.Join(dir, "metadata"), "--bookkeeper-dir", filepath.Join(dir, "bookkeeper"),
			"--bookkeeper-port", strconv.Itoa(ports[portBookie]), "--num-bookies", "1"),
	}
	return s, nil
}

func (s *Standalone) settings(overrides map[string]string) settings {
	all := parseSettings(standaloneConf)
	for key, port := range map[string]string{
		"brokerServicePort": portBroker, "webServicePort": portHTTP,
		"brokerServicePortTls": portBrokerTLS, "webServicePortTls": portHTTPTLS,
	} {
		all[key] = strconv.Itoa(s.ports[port])
	}
	for key, file := range map[string]string{
		"tokenPublicKey": PublicKey, "tlsTrustCertsFilePath": CA, "tlsCertificateFilePath": serverCert, "tlsKeyFilePath": serverKey,
		"brokerClientAuthenticationParameters": SuperuserToken,
	} {
		all[key] = s.Keys.Path(file)
		if key == "tokenPublicKey" || key == "brokerClientAuthenticationParameters" {
			all[key] = "file://" + all[key]
		}
	}
	for key, value := range overrides {
		all[key] = strings.ReplaceAll(value, BrokerPort, strconv.Itoa(s.ports[portBroker]))
	}
	return all
}

// Start is [provide.Process.Start].
func (s *Standalone) Start(ctx context.Context) error { return s.process.Start(ctx) }

// Stop is [provide.Process.Stop].
func (s *Standalone) Stop(ctx context.Context) error { return s.process.Stop(ctx) }

// Kill is [provide.Process.Kill].
func (s *Standalone) Kill(ctx context.Context) error { return s.process.Kill(ctx) }

// Signal is [provide.Process.Signal].
func (s *Standalone) Signal(with syscall.Signal) error { return s.process.Signal(with) }

// Pid is the process id of the server, or 0 if it does not run.
func (s *Standalone) Pid() (int, error) { return s.process.Pid() }

// URL is where clients connect.
func (s *Standalone) URL() string { return s.url("pulsar", portBroker) }

// Admin is where the admin API is served.
func (s *Standalone) Admin() string { return s.url("http", portHTTP) }

// URLTLS is where clients connect over TLS.
func (s *Standalone) URLTLS() string { return s.url("pulsar+ssl", portBrokerTLS) }

// AdminTLS is where the admin API is served over TLS.
func (s *Standalone) AdminTLS() string { return s.url("https", portHTTPTLS) }

func (s *Standalone) url(scheme, port string) string {
	return scheme + "://127.0.0.1:" + strconv.Itoa(s.ports[port])
}

// ready lets the broker publish to and read from a topic of its own.
func (s *Standalone) ready(ctx context.Context) error {
	token, err := os.ReadFile(s.Keys.Path(SuperuserToken))
	if err != nil {
		return err
	}
	return healthy(ctx, s.Admin(), string(token))
}
