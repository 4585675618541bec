package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/deedbroker/deed/broker/redact"
)

// maxFile bounds a deed.yaml, in bytes.
const maxFile = 4 << 20

// Load reads, completes and validates the file at path, with the environment's
// overrides. Its error is a [Problems] unless the file can't be read.
func Load(path string) (*Config, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("load configuration: %w", err)
	}
	return parse(path, text, os.LookupEnv)
}

// Parse is Load for text that is already read, without the environment. Errors
// call the file name; paths in it are relative to name's directory.
func Parse(name string, text []byte) (*Config, error) {
	return parse(name, text, func(string) (string, bool) { return "", false })
}

func readFile(path string) (_ []byte, err error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxFile)
	}
	return text, err
}

func parse(name string, text []byte, lookupEnv func(string) (string, bool)) (*Config, error) {
	src, c := newSource(name, text), new(Config)
	if err := decode(src, text, c); err != nil {
		return nil, src.locate(err)
	}
	if err := c.override(lookupEnv); err != nil {
		return nil, err
	}
	if err := c.complete(filepath.Dir(name)); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, src.locate(err)
	}
	return c, nil
}

func (c *Config) override(lookupEnv func(string) (string, bool)) error {
	if v, set := lookupEnv("DEED_LISTEN"); set && v != "" {
		c.Listen = v
	}
	if v, set := lookupEnv("DEED_URL"); set && v != "" {
		c.URL = v
	}
	if v, set := lookupEnv("DEED_DATA"); set && v != "" {
		dir, err := filepath.Abs(v) // relative to where the user stands, not to the file
		if err != nil {
			return fmt.Errorf("load configuration: DEED_DATA: %w", err)
		}
		c.Data = dir
	}
	return nil
}

// complete fills in the defaults that depend on other keys, and resolves paths.
func (c *Config) complete(dir string) error {
	if host, _, err := net.SplitHostPort(c.Listen); c.URL == "" && err == nil && isLoopback(host) {
		c.URL = "http://" + c.Listen
	}
	if c.Data == "" {
		data, err := dataDir()
		if err != nil {
			return fmt.Errorf("load configuration: %w; set data", err)
		}
		c.Data = data
	}
	c.Data = under(dir, c.Data)
	c.Archive.under(dir)
	for i := range c.Policies {
		c.Policies[i] = under(dir, c.Policies[i])
	}
	for _, s := range c.Sinks {
		if s.Syslog != nil && s.Syslog.CAFile != "" {
			s.Syslog.CAFile = under(dir, s.Syslog.CAFile)
		}
	}
	for i := range c.Shadow.Policies {
		c.Shadow.Policies[i] = under(dir, c.Shadow.Policies[i])
	}
	if p := c.Log.Pulsar; p != nil {
		for _, path := range []*string{&p.Auth.TokenFile, &p.Auth.CertFile, &p.Auth.KeyFile, &p.Auth.CAFile, &p.SealKey} {
			*path = under(dir, *path)
		}
	}
	for _, channel := range c.Notify.Channels {
		if s := channel.SMTP; s != nil {
			s.CAFile = under(dir, s.CAFile)
		}
		if p := channel.Push; p != nil {
			p.Key = under(dir, p.Key)
		}
	}
	c.completeDomains()
	for name, u := range c.Upstreams {
		if !strings.Contains(u.OpenAPI, "://") {
			u.OpenAPI = under(dir, u.OpenAPI)
		}
		switch {
		case u.Dir != "":
			u.Dir = under(dir, u.Dir)
		case u.Builtin == BuiltinLedger:
			u.Dir = filepath.Join(c.Data, "upstreams", name)
		}
		c.Upstreams[name] = u
	}
	return nil
}

func (c *Config) completeDomains() {
	longest := Duration{DefaultRetention}
	for name, d := range c.Domains {
		if name != reserved {
			d.complete(Duration{DefaultRetention}, DefaultPartitions)
			c.Domains[name] = d
			longest.Duration = max(longest.Duration, d.Retention.Duration)
		}
	}
	if own, configured := c.Domains[reserved]; configured {
		own.complete(longest, 1)
		c.Domains[reserved] = own
	}
}

func (d *Domain) complete(retention Duration, partitions int) {
	if d.Partitions == unsaidCount {
		d.Partitions = partitions
	}
	if d.Retention == unsaid {
		d.Retention = retention
	}
	d.Secrets = cmp.Or(d.Secrets, redact.RedactSecrets)
	if d.PayloadRetention == unsaid {
		d.PayloadRetention.Duration = min(d.Retention.Duration, DefaultPayloadRetention)
	}
}

func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// dataDir is $XDG_DATA_HOME/deed, with the default of the XDG Base Directory Specification.
func dataDir() (string, error) {
	if home := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, "deed"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home directory: %w", err)
	}
	return filepath.Join(home, ".local", "share", "deed"), nil
}

// Print writes the configuration as YAML, defaults included, for people to see
// what is in force. Environment and written-out headers of upstreams are redacted.
func (c *Config) Print(w io.Writer) error {
	shown := *c
	shown.Upstreams = make(map[string]Upstream, len(c.Upstreams))
	for name, u := range c.Upstreams {
		u.Env = redactAll(u.Env)
		shown.Upstreams[name] = u
	}
	text, err := yaml.MarshalWithOptions(&shown, yaml.OmitZero(), yaml.IndentSequence(true))
	if err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}

func redactAll(env map[string]string) map[string]string {
	if env == nil {
		return nil
	}
	shown := make(map[string]string, len(env))
	for name := range env {
		shown[name] = redacted
	}
	return shown
}
