package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"

	"github.com/deedbroker/deed/audit/pulsar/admin"
	"github.com/deedbroker/deed/broker/config"
)

// open reads the configuration and makes a client of the cluster's admin API.
func (v *topicsVerb) open() (*config.Config, *admin.Client, error) {
	cfg, err := loadConfig(v.path)
	switch {
	case err != nil:
		return nil, nil, err
	case cfg.Log.Pulsar == nil:
		return nil, nil, withHint(usage("%s has no log.pulsar: its log is a file", v.path), "topics are for logs on Pulsar")
	case cfg.Log.Pulsar.Admin == "":
		return nil, nil, usage("%s: log.pulsar.admin is missing: topics are made by the admin API", v.path)
	}
	token := v.token(cfg)
	transport, err := adminTransport(cfg.Log.Pulsar.Auth, token == nil)
	if err != nil {
		return nil, nil, err
	}
	client, err := admin.New(admin.Options{URL: cfg.Log.Pulsar.Admin, Token: token, Transport: transport})
	return cfg, client, err
}

// token is where the token comes from; nil if there is none.
func (v *topicsVerb) token(cfg *config.Config) func() (string, error) {
	path := v.tokenFile
	if token := v.env.getenv("DEED_PULSAR_ADMIN_TOKEN"); path == "" && token != "" {
		return func() (string, error) { return token, nil }
	}
	if path = firstOf(path, cfg.Log.Pulsar.Auth.TokenFile); path == "" {
		return nil
	}
	return func() (string, error) {
		text, err := readFile(path)
		return strings.TrimSpace(string(text)), err
	}
}

// adminTransport trusts whom the brokers trust. The brokers' certificate says who asks
// where no token does.
func adminTransport(a config.PulsarAuth, certificate bool) (*http.Transport, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.CAFile != "" {
		pem, err := readFile(a.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read log.pulsar.auth.ca_file: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("log.pulsar.auth.ca_file: %s has no certificate", a.CAFile)
		}
	}
	if certificate && a.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read log.pulsar.auth.cert_file: %w", err)
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{TLSClientConfig: settings, Proxy: http.ProxyFromEnvironment}, nil
}
