package httpapi

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/audit/seal"
)

// Counts are how often what happened in a time. A call is counted when it is opened or
// refused, and again when it is released or ends.
type Counts struct {
	Calls     int64 `json:"calls"`
	Held      int64 `json:"held"`     // of the calls, for people
	Approved  int64 `json:"approved"` // released by people
	Results   int64 `json:"results"`
	Failed    int64 `json:"failed"`
	Denied    int64 `json:"denied"` // by policy or by people
	Expired   int64 `json:"expired"`
	Cancelled int64 `json:"cancelled"`
	Unknown   int64 `json:"unknown"`
}

// Moment is one step of an [Overview].
type Moment struct {
	At time.Time `json:"at"` // its beginning
	Counts
}

// Overview is what happened lately in the domains that the viewer may read.
type Overview struct {
	Window string    `json:"window"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Step   int64     `json:"step_s"` // of the series, in seconds
	Total  Counts    `json:"total"`
	Series []Moment  `json:"series"`

	Decisions Decisions `json:"decisions"`
	Open      Open      `json:"open"`
	Log       LogHealth `json:"log"`
}

// Decisions tell how long people took to decide on held calls, at most a tenth off.
type Decisions struct {
	Decided int64   `json:"decided"`
	P50MS   float64 `json:"p50_ms"`
	P95MS   float64 `json:"p95_ms"`
}

// Open are the held calls of now that the viewer may decide or read.
type Open struct {
	Held    int       `json:"held"`
	Running int       `json:"running"`       // approved, and not over
	Next    time.Time `json:"next,omitzero"` // when the first of the held ones expires
}

// LogHealth is how this replica stands to the log.
type LogHealth struct {
	BehindRecords int64         `json:"behind_records"` // of the log that are not in the history yet; -1 if that is not known
	BehindMS      float64       `json:"behind_ms"`      // for how long there have been such records
	Newest        time.Time     `json:"newest,omitzero"`
	Spooled       int           `json:"spooled"`            // outcomes that wait for the log to be back
	SealedAt      time.Time     `json:"sealed_at,omitzero"` // when a checkpoint was signed last
	Trees         []Tree        `json:"trees"`              // those that the viewer may read
	Warnings      []CheckResult `json:"warnings"`           // what /readyz finds wrong, for readers of the broker's own domain
}

// Tree is how far a log is sealed.
type Tree struct {
	Log     string    `json:"log"`
	Records int64     `json:"records"`
	Sealed  int64     `json:"sealed"`         // of them, by the last checkpoint
	Waits   time.Time `json:"waits,omitzero"` // when the first of the others was written
}

// windows are the times that an overview can be of, and the steps of each.
func windows() map[string]struct {
	step  time.Duration
	steps int
} {
	return map[string]struct {
		step  time.Duration
		steps int
	}{
		"1h": {time.Minute, 60}, "6h": {6 * time.Minute, 60}, "24h": {24 * time.Minute, 60}, "7d": {3 * time.Hour, 56}, "30d": {12 * time.Hour, 60},
	}
}

// showOverview serves GET /v1/overview?window=.
func (a *api) showOverview(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "window", "domain")
	window := p.one("window", slices.Sorted(maps.Keys(windows()))...)
	if p.err != nil {
		return p.err
	}
	if window == "" {
		window = "24h"
	}
	if err := a.cfg.Broker.Browsing(r.Context(), v.id, audit.Reading{What: audit.ReadList, For: "overview"}); err != nil {
		return err
	}
	_, readable := a.domains(v)
	if d := p.text("domain"); d != "" {
		readable = slices.DeleteFunc(readable, func(name string) bool { return name != d })
	}
	of := windows()[window]
	o, err := a.cfg.History.Overview(r.Context(), time.Now(), of.step, of.steps, readable...)
	if err != nil {
		return fmt.Errorf("show overview: %w", err)
	}
	out := Overview{
		Window: window, Since: o.Since, Until: o.Until, Step: int64(of.step / time.Second), Total: countsOf(o.Total), Series: make([]Moment, len(o.Moments)),
		Decisions: Decisions{Decided: o.Decided, P50MS: millis(o.P50), P95MS: millis(o.P95)},
		Open:      a.openNow(v),
	}
	for i, m := range o.Moments {
		out.Series[i] = Moment{At: m.At, Counts: countsOf(m.Counts)}
	}
	if out.Log, err = a.logHealth(r.Context(), v); err != nil {
		return fmt.Errorf("show overview: %w", err)
	}
	write(w, http.StatusOK, mediaJSON, out)
	return nil
}

func countsOf(c index.Counts) Counts { return Counts(c) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// openNow counts the held calls of now, as the broker has them.
func (a *api) openNow(v *viewer) (o Open) {
	for _, c := range a.cfg.Broker.Waiting(v.id) {
		if c.State != calls.Held {
			o.Running++
			continue
		}
		if o.Held++; o.Next.IsZero() || c.Deadline().Before(o.Next) {
			o.Next = utc(c.Deadline())
		}
	}
	return o
}

func (a *api) logHealth(ctx context.Context, v *viewer) (LogHealth, error) {
	lag, err := a.cfg.History.Behind(ctx)
	if err != nil {
		return LogHealth{}, err
	}
	h := LogHealth{BehindRecords: lag.Records, BehindMS: millis(lag.Behind), Newest: utc(lag.Newest), Trees: []Tree{}, Warnings: []CheckResult{}}
	if a.cfg.Spooled != nil {
		h.Spooled = a.cfg.Spooled()
	}
	sizes, err := a.cfg.Log.Sizes(ctx)
	if err != nil {
		return LogHealth{}, err
	}
	h.SealedAt = a.writtenAt(ctx, seal.CheckpointsLog, sizes[seal.CheckpointsLog]-1)
	for _, log := range slices.Sorted(maps.Keys(sizes)) {
		domain, _, _ := audit.SplitLog(log)
		if log == seal.CheckpointsLog || !v.mayReadDomain(domain) {
			continue
		}
		t := Tree{Log: log, Records: sizes[log]}
		if _, c, ok := a.cfg.Sealer.Latest(log); ok {
			t.Sealed = c.Size
		}
		if t.Sealed < t.Records {
			t.Waits = a.writtenAt(ctx, log, t.Sealed)
		}
		h.Trees = append(h.Trees, t)
	}
	if v.mayReadDomain(audit.OwnDomain) {
		for _, c := range a.check(ctx).Checks {
			if !c.OK {
				h.Warnings = append(h.Warnings, c)
			}
		}
	}
	return h, nil
}

// writtenAt is the time of a record; zero if it cannot be read.
func (a *api) writtenAt(ctx context.Context, log string, index int64) time.Time {
	if index < 0 {
		return time.Time{}
	}
	r, err := a.cfg.Log.Record(ctx, audit.Position{Log: log, Index: index})
	if err != nil {
		return time.Time{}
	}
	e, err := r.Event()
	if err != nil {
		return time.Time{}
	}
	return e.Time
}
