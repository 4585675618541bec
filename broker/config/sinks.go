package config

import (
	"net"
	"net/url"
)

// maxSinks bounds how many there are.
const maxSinks = 8

// Sink is where calls are sent as they end, by one of OTLP, syslog and a webhook. Nothing
// waits for it. Of several replicas those send that have it in their configuration.
type Sink struct {
	Domains []string `yaml:"domains"` // whose calls; left out: all

	OTLP    *OTLPSink    `yaml:"otlp"`
	Syslog  *SyslogSink  `yaml:"syslog"`
	Webhook *WebhookSink `yaml:"webhook"`
}

// OTLPSink takes log records by OTLP over HTTP.
type OTLPSink struct {
	URL   string `yaml:"url"`   // such as https://collector:4318/v1/logs
	Token Secret `yaml:"token"` // bearer; left out: none
}

// SyslogSink takes messages of RFC 5424.
type SyslogSink struct {
	URL    string       `yaml:"url"`     // tcp://host:port or tls://host:port
	CAFile string       `yaml:"ca_file"` // who vouches for it; left out, the system's
	Format SyslogFormat `yaml:"format"`  // of the message
}

// SyslogFormat is what a syslog message says.
type SyslogFormat string

// The values of [SyslogFormat].
const (
	SyslogOCSF SyslogFormat = "ocsf" // the default: a JSON document
	SyslogCEF  SyslogFormat = "cef"
)

// WebhookSink takes calls as Standard Webhooks says.
type WebhookSink struct {
	URL    string `yaml:"url"`
	Secret Secret `yaml:"secret"` // that signs: whsec_ and base64
}

func (v *validation) sinks(sinks map[string]Sink) {
	if len(sinks) > maxSinks {
		v.fail("sinks", "are %d; %d at most", len(sinks), maxSinks)
	}
	for _, name := range sorted(sinks) {
		key, s := child("sinks", name), sinks[name]
		v.name(key, name)
		kinds := 0
		for _, there := range []bool{s.OTLP != nil, s.Syslog != nil, s.Webhook != nil} {
			if there {
				kinds++
			}
		}
		if kinds != 1 {
			v.fail(key, "needs one of otlp, syslog and webhook")
		}
		for i, d := range s.Domains {
			if _, known := v.config.Domains[d]; !known && d != reserved {
				v.fail(item(child(key, "domains"), i), "there is no domain %q", d)
			}
		}
		v.sink(key, s)
	}
}

func (v *validation) sink(key string, s Sink) {
	if o := s.OTLP; o != nil {
		v.webURL(child(child(key, "otlp"), "url"), o.URL)
		v.vaulted(child(child(key, "otlp"), "token"), o.Token, v.config.Vault)
	}
	if w := s.Webhook; w != nil {
		v.webURL(child(child(key, "webhook"), "url"), w.URL)
		if w.Secret.IsZero() {
			v.fail(child(child(key, "webhook"), "secret"), "is needed: what is not signed can be anybody's")
		}
		v.vaulted(child(child(key, "webhook"), "secret"), w.Secret, v.config.Vault)
	}
	if l := s.Syslog; l != nil {
		v.syslog(child(key, "syslog"), l)
	}
}

func (v *validation) syslog(key string, l *SyslogSink) {
	u, err := url.Parse(l.URL)
	switch {
	case err != nil || (u.Scheme != "tcp" && u.Scheme != "tls") || u.Port() == "" || u.Path != "" || u.User != nil || u.RawQuery != "":
		v.fail(child(key, "url"), "is not of the form \"tls://host:6514\"")
	case u.Scheme == "tcp" && !isLoopback(u.Hostname()):
		v.fail(child(key, "url"), "is in the clear to another machine; use tls://")
	}
	if l.CAFile != "" && u != nil && u.Scheme != "tls" {
		v.fail(child(key, "ca_file"), "is of no use without tls://")
	}
	if l.Format != "" && l.Format != SyslogOCSF && l.Format != SyslogCEF {
		v.fail(child(key, "format"), "is ocsf or cef")
	}
}

// Address is the host and port.
func (l *SyslogSink) Address() (address, host string, secure bool) {
	u, err := url.Parse(l.URL)
	if err != nil {
		return "", "", false // it was validated
	}
	return net.JoinHostPort(u.Hostname(), u.Port()), u.Hostname(), u.Scheme == "tls"
}
