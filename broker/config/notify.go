package config

import (
	"errors"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones are known wherever the broker runs
)

// Notify says who is told of calls that wait for people.
type Notify struct {
	Channels map[string]NotifyChannel `yaml:"channels"`
	Routes   []NotifyRoute            `yaml:"routes"`
}

// NotifyChannel is a way to people: exactly one of SMTP, Webhook, Slack and Push.
type NotifyChannel struct {
	SMTP    *SMTP    `yaml:"smtp"`
	Webhook *Webhook `yaml:"webhook"`
	Slack   *Slack   `yaml:"slack"`
	Push    *Push    `yaml:"push"`
	// Limit is how many messages it takes; what is due beyond that comes in one.
	Limit Rate `yaml:"limit"`
}

// SMTP is e-mail by way of a server.
type SMTP struct {
	Server   string   `yaml:"server"` // host:port
	TLS      string   `yaml:"tls"`    // starttls, implicit, or none to this machine
	CAFile   string   `yaml:"ca_file"`
	User     string   `yaml:"user"`
	Password Secret   `yaml:"password"`
	From     string   `yaml:"from"`
	To       []string `yaml:"to"`
}

// The values of SMTP.TLS.
const (
	SMTPStartTLS = "starttls"
	SMTPImplicit = "implicit"
	SMTPNone     = "none"
)

// Webhook is an HTTP receiver of signed events (Standard Webhooks).
type Webhook struct {
	URL    string `yaml:"url"`
	Secret Secret `yaml:"secret"` // whsec_…
}

// Slack is an incoming webhook of Slack, or of what understands the same.
type Slack struct {
	URL Secret `yaml:"url"` // whoever has it can post
}

// Push is the browsers of approvers who have subscribed in the console.
type Push struct {
	Subscriber string   `yaml:"subscriber"` // who answers for it: an e-mail address, or a URL of https
	Services   []string `yaml:"services"`   // push services; left out: those of today's browsers
	Key        string   `yaml:"key"`        // file of the key, the same at every replica; left out: in the data directory
}

// NotifyRoute says whom to tell of which holds.
type NotifyRoute struct {
	Domains   []string     `yaml:"domains"`   // left out: all
	Approvers []string     `yaml:"approvers"` // roles that the hold waits for; left out: whatever it waits for
	To        []string     `yaml:"to"`        // channels
	Quiet     *Quiet       `yaml:"quiet"`
	Escalate  []Escalation `yaml:"escalate"`
}

// Quiet is a time of day in which nobody is told but those whom a hold is escalated to.
type Quiet struct {
	Hours Hours  `yaml:"hours"`
	Zone  string `yaml:"zone"` // such as Europe/Berlin; left out: UTC
}

// Escalation tells others of a hold that nobody has decided.
type Escalation struct {
	After Duration `yaml:"after"`
	To    []string `yaml:"to"`
}

// Hours is a part of the day as deed.yaml writes it: "22:00-07:00".
type Hours struct{ From, To time.Duration }

// UnmarshalText reads hours.
func (h *Hours) UnmarshalText(text []byte) error {
	from, to, ok := strings.Cut(string(text), "-")
	begin, err := time.Parse("15:04", strings.TrimSpace(from))
	end, bad := time.Parse("15:04", strings.TrimSpace(to))
	if !ok || err != nil || bad != nil || begin.Equal(end) {
		return errors.New(`is not a part of the day; write one like "22:00-07:00"`)
	}
	since := func(t time.Time) time.Duration {
		return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	}
	h.From, h.To = since(begin), since(end)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (h Hours) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// String is the hours as deed.yaml writes them.
func (h Hours) String() string {
	at := func(d time.Duration) string { return time.Time{}.Add(d).Format("15:04") }
	return at(h.From) + "-" + at(h.To)
}

// DefaultNotifyLimit is notify.channels.*.limit.
const DefaultNotifyLimit = 20 // a minute

func (c *NotifyChannel) setDefaults() { c.Limit = Rate{Count: DefaultNotifyLimit, Per: time.Minute} }
func (s *SMTP) setDefaults()          { s.TLS = SMTPStartTLS }
func (q *Quiet) setDefaults()         { q.Zone = "UTC" }

func (v *validation) notify(n Notify) {
	for _, name := range sorted(n.Channels) {
		key, c := child("notify.channels", name), n.Channels[name]
		v.name(key, name)
		v.notifyChannel(key, c)
	}
	for i, r := range n.Routes {
		v.notifyRoute(item("notify.routes", i), r, n.Channels)
	}
	if len(n.Channels) > 0 && len(n.Routes) == 0 {
		v.fail("notify.routes", "none is configured, so that nobody would be told; add one with to")
	}
	pushes := 0
	for _, c := range n.Channels {
		if c.Push != nil {
			pushes++
		}
	}
	if pushes > 1 {
		v.fail("notify.channels", "has push more than once; browsers subscribe to the broker, not to a channel")
	}
}

func (v *validation) notifyChannel(key string, c NotifyChannel) {
	kinds := 0
	if s := c.SMTP; s != nil {
		kinds++
		v.smtp(child(key, "smtp"), s)
	}
	if w := c.Webhook; w != nil {
		kinds++
		v.receiver(child(key, "webhook.url"), w.URL)
		v.required(child(key, "webhook.secret"), w.Secret)
	}
	if s := c.Slack; s != nil {
		kinds++
		v.required(child(key, "slack.url"), s.URL)
	}
	if p := c.Push; p != nil {
		kinds++
		v.push(child(key, "push"), p)
	}
	if kinds != 1 {
		v.fail(key, "needs exactly one of smtp, webhook, slack and push")
	}
	if c.Limit.Count < 1 || c.Limit.Per <= 0 {
		v.fail(child(key, "limit"), "must be at least one, such as \"20/m\"")
	}
}

// required is a secret that there must be.
func (v *validation) required(key string, s Secret) {
	if s.IsZero() {
		v.fail(key, "is needed; write where it is, such as \"file:///run/secrets/hook\"")
	}
	v.vaulted(key, s, v.config.Vault)
}

func (v *validation) smtp(key string, s *SMTP) {
	host, _, err := net.SplitHostPort(s.Server)
	if err != nil || host == "" {
		v.fail(child(key, "server"), "%q is not host:port; write one like \"smtp.acme.example:587\"", s.Server)
	}
	switch s.TLS {
	case SMTPStartTLS, SMTPImplicit:
	case SMTPNone:
		if !isLoopback(host) {
			v.fail(child(key, "tls"), "none is for a server on this machine; write %s or %s", SMTPStartTLS, SMTPImplicit)
		}
	default:
		v.fail(child(key, "tls"), "%q is not known; write %s, %s or %s", s.TLS, SMTPStartTLS, SMTPImplicit, SMTPNone)
	}
	if s.User != "" {
		v.required(child(key, "password"), s.Password)
	}
	v.address(child(key, "from"), s.From)
	if len(s.To) == 0 {
		v.fail(child(key, "to"), "is needed; name those who are told")
	}
	for i, to := range s.To {
		v.address(item(child(key, "to"), i), to)
	}
}

func (v *validation) address(key, address string) {
	if _, err := mail.ParseAddress(address); err != nil {
		v.fail(key, "%q is not an e-mail address", address)
	}
}

// receiver checks where events go: over https, or http on this machine. It may have a query.
func (v *validation) receiver(key, raw string) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		v.fail(key, "is not a URL of https (or of http on this machine) without a user and a fragment")
	}
}

func (v *validation) push(key string, p *Push) {
	if _, err := mail.ParseAddress(p.Subscriber); err != nil && !strings.HasPrefix(p.Subscriber, "https://") {
		v.fail(child(key, "subscriber"), "is needed: an e-mail address, or a URL of https, of who answers for what is pushed")
	}
	v.words(child(key, "services"), p.Services)
}

func (v *validation) notifyRoute(key string, r NotifyRoute, channels map[string]NotifyChannel) {
	for i, d := range r.Domains {
		if _, known := v.config.Domains[d]; !known && d != reserved {
			v.fail(item(child(key, "domains"), i), "%q is not among domains (%s)", d, strings.Join(sorted(v.config.Domains), ", "))
		}
	}
	v.words(child(key, "approvers"), r.Approvers)
	if len(r.To) == 0 {
		v.fail(child(key, "to"), "is needed; name one of notify.channels")
	}
	v.known(child(key, "to"), r.To, channels)
	if q := r.Quiet; q != nil {
		if q.Hours == (Hours{}) {
			v.fail(child(key, "quiet.hours"), "is needed; write them like \"22:00-07:00\"")
		}
		if _, err := time.LoadLocation(q.Zone); err != nil || q.Zone == "" || strings.EqualFold(q.Zone, "local") {
			v.fail(child(key, "quiet.zone"), "%q is not a time zone; write one like \"Europe/Berlin\"", q.Zone)
		}
	}
	for i, e := range r.Escalate {
		at := item(child(key, "escalate"), i)
		v.positive(child(at, "after"), e.After)
		if len(e.To) == 0 {
			v.fail(child(at, "to"), "is needed; name one of notify.channels")
		}
		v.known(child(at, "to"), e.To, channels)
	}
}

func (v *validation) known(key string, names []string, channels map[string]NotifyChannel) {
	for i, name := range names {
		if _, known := channels[name]; !known {
			v.fail(item(key, i), "%q is not among notify.channels (%s)", name, strings.Join(sorted(channels), ", "))
		}
		if slices.Contains(names[:i], name) {
			v.fail(item(key, i), "%q is named twice", name)
		}
	}
}
