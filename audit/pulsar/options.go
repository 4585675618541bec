package pulsar

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
)

// Defaults and limits of [Options].
const (
	DefaultMaxPayloadBytes = 8 << 20
	DefaultPatience        = 5 * time.Second
	DefaultOpenWait        = time.Minute
	DefaultCourtesy        = 6 * time.Second

	maxInFlight = 64 << 20 // bytes that wait for Pulsar's acknowledgement
	ringRecords = 4096     // newest records of a partition that are kept in memory, up to twice as many,
	ringBytes   = 4 << 20  // and their size, up to twice as much
)

// Options say where the log is and who writes it. URL, Admin, Tenant, Replica and Dir
// are required.
type Options struct {
	URL string // pulsar://host:port or pulsar+ssl://host:port
	// Listener is which of Pulsar's advertised listeners to be sent to; empty for its own.
	Listener string
	Admin    string // http://host:port or https://host:port, or more hosts with commas between them
	Auth     Auth
	Tenant   string
	// Domains whose calls are kept; the broker's own is always among them.
	Domains []string
	// Replica is this process's name among those that share the log. It stays the
	// same when the replica is started again, and no two run under one name.
	Replica string
	Dir     string // for the hashes of the trees

	// MaxPayloadBytes bounds the body of one payload. Zero means DefaultMaxPayloadBytes.
	MaxPayloadBytes int64
	// Patience is how long an acknowledgement may stay away before further events are
	// refused. Zero means DefaultPatience.
	Patience time.Duration
	// OpenWait bounds each step of opening that waits for Pulsar. Zero means DefaultOpenWait.
	OpenWait time.Duration
	// Courtesy is how long another replica whose connection was lost may take to come
	// back before its place is taken; where this one's was lost too, since Pulsar was
	// away, four times as long. Zero means DefaultCourtesy.
	Courtesy time.Duration

	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.URL == "" || o.Admin == "" || o.Tenant == "" || o.Replica == "" || o.Dir == "" {
		return o, errors.New("url, admin, tenant, replica and dir are required")
	}
	if o.MaxPayloadBytes == 0 {
		o.MaxPayloadBytes = DefaultMaxPayloadBytes
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	if o.Courtesy == 0 {
		o.Courtesy = DefaultCourtesy
	}
	if o.OpenWait == 0 {
		o.OpenWait = DefaultOpenWait
	}
	if o.MaxPayloadBytes < 0 || o.MaxPayloadBytes > maxInFlight/2 || o.Patience < 0 || o.OpenWait < 0 || o.Courtesy < 0 {
		return o, errors.New("payload limit, patience or wait is out of range")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	domains := append([]string{audit.OwnDomain}, o.Domains...)
	slices.Sort(domains)
	o.Domains = slices.Compact(domains)
	return o, nil
}

// source is what this replica's events say of where they come from, and the name of
// its producers.
func (o Options) source() string { return "deed://" + o.Tenant + "/" + o.Replica }
