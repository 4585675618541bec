package live

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
)

// Defaults of [Limits].
const (
	DefaultMaxViewers            = 2_000
	DefaultMaxViewersPerIdentity = 16
	DefaultTailRecords           = 8192
	DefaultTailBytes             = 16 << 20
	DefaultWriteWait             = 10 * time.Second
	DefaultPingEvery             = 20 * time.Second
	DefaultCursorEvery           = 5 * time.Second
	DefaultBatchEvery            = 50 * time.Millisecond
	DefaultResolveWait           = 5 * time.Second
)

// Log is what is streamed; an [audit.Log] is one.
type Log interface {
	Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error]
	Follow(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error]
}

// Authenticator says who a viewer is, at first and as time passes.
type Authenticator interface {
	// Require gives the identity behind a request, or answers the request and returns false.
	Require(w http.ResponseWriter, r *http.Request) (*agents.Identity, bool)
	// Recheck is nil while the request's credentials still hold. A *[agents.Rejection]
	// ends the stream, unless it is of the kind ProviderTrouble; other errors do not.
	Recheck(ctx context.Context, r *http.Request) error
	// Refuse counts a request that is refused before anybody asks who it is of.
	Refuse(ctx context.Context, r *agents.Rejection)
}

// Policy decides what a viewer may read; *broker.Broker is one.
type Policy interface {
	MayRead(viewer *agents.Identity, s broker.Subject) bool
}

// Status is how a replica is, as its viewers are told at first and with every ping: what
// they see and find may be old.
type Status struct {
	Replica       string  `json:"replica"`
	BehindRecords int64   `json:"behind_records"` // of the log that its history has not taken up
	BehindSeconds float64 `json:"behind_seconds"` // for how long there have been such
	LogAvailable  bool    `json:"log_available"`
}

// Config is what a [Hub] needs. All but Start, Opened, Status, Meter and Limits are required.
type Config struct {
	Log Log
	// Start is where following begins: the end of the log as it was when the
	// broker opened it. The zero cursor is right too, but the whole log is then read
	// once before viewers reach its live end.
	Start audit.Cursor

	Auth Authenticator
	// Opened records that a viewer is about to see records from a cursor on, or from now on
	// without one; an error refuses them. Nil: nothing is recorded.
	Opened func(ctx context.Context, viewer *agents.Identity, from string) error
	// Revocations ends the streams of those who are revoked, at once; may be nil.
	Revocations agents.Revocations
	Policy      Policy
	// Epoch is another comparable value whenever what Policy answers may have
	// changed, such as the pointer to the policy set in force.
	Epoch func() any
	// Opening finds the subject of a call that was opened before the records at
	// hand. An error that wraps audit.ErrNotFound is tried again for a while, since
	// whoever knows may lag behind the log.
	Opening func(ctx context.Context, callID string) (broker.Subject, error)

	// Status says how this replica is; nil if it tells nobody.
	Status func(context.Context) Status

	URL    string // canonical: scheme and host; an origin that is accepted
	Logger *slog.Logger
	Meter  metric.Meter
	Limits Limits
}

// Limits bound what viewers cost. Zero values mean the defaults.
type Limits struct {
	MaxViewers            int
	MaxViewersPerIdentity int
	TailRecords           int           // the newest records, which viewers may lag behind by
	TailBytes             int           // of those records
	WriteWait             time.Duration // after which a connection that takes nothing is dropped
	PingEvery             time.Duration // and credentials are checked again; a viewer has three times as long to answer
	CursorEvery           time.Duration // between cursors while every record is filtered out
	BatchEvery            time.Duration // records that come within it are sent together
	ResolveWait           time.Duration // for Config.Opening
}

func (l *Limits) fill() error {
	if l.MaxViewers < 0 || l.MaxViewersPerIdentity < 0 || l.TailRecords < 0 || l.TailBytes < 0 || l.WriteWait < 0 ||
		l.PingEvery < 0 || l.CursorEvery < 0 || l.BatchEvery < 0 || l.ResolveWait < 0 {
		return errors.New("a limit is negative")
	}
	setDefault(&l.MaxViewers, DefaultMaxViewers)
	setDefault(&l.MaxViewersPerIdentity, DefaultMaxViewersPerIdentity)
	setDefault(&l.TailRecords, DefaultTailRecords)
	setDefault(&l.TailBytes, DefaultTailBytes)
	setDefault(&l.WriteWait, DefaultWriteWait)
	setDefault(&l.PingEvery, DefaultPingEvery)
	setDefault(&l.CursorEvery, DefaultCursorEvery)
	setDefault(&l.BatchEvery, DefaultBatchEvery)
	setDefault(&l.ResolveWait, DefaultResolveWait)
	return nil
}

func setDefault[T comparable](v *T, d T) {
	if *v == *new(T) {
		*v = d
	}
}

// check completes the configuration, and gives the parsed URL.
func (c *Config) check() (*url.URL, error) {
	if c.Log == nil || c.Auth == nil || c.Policy == nil || c.Epoch == nil || c.Opening == nil || c.Logger == nil {
		return nil, errors.New("log, auth, policy, epoch, opening and logger are required")
	}
	if c.Meter == nil {
		c.Meter = noopmetric.Meter{}
	}
	if err := c.Limits.fill(); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("canonical url: %w", err)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.Path != "" {
		return nil, fmt.Errorf("canonical url %q must be http(s)://host[:port] and nothing else", u.Redacted())
	}
	return u, nil
}
