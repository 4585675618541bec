package httpapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/evidence"
	"github.com/deedbroker/deed/broker/hindsight"
	"github.com/deedbroker/deed/broker/policy"
)

const (
	// maxEvidence is how long the writing of one pack may take.
	maxEvidence = time.Hour
	mediaZIP    = "application/zip"
)

// showEvidence serves GET /v1/evidence: a pack of the domains that the viewer may read as a
// whole, with what is to be read of the broker's own. One is made at a time. That it is
// made, of what and with how much, is on record before.
func (a *api) showEvidence(w http.ResponseWriter, r *http.Request, v *viewer) error {
	p := parse(r.URL.RawQuery, "framework", "domains", "since", "until", "tier")
	o := pack.Options{Since: p.time("since"), Until: p.time("until"), Made: time.Now()}
	framework := p.one("framework", evidence.Frameworks()...)
	payloads := p.one("tier", string(policy.TierMetadata), string(policy.TierResults)) == string(policy.TierResults)
	if p.err != nil {
		return p.err
	}
	if o.Until.IsZero() || o.Until.After(o.Made) {
		o.Until = o.Made
	}
	o.Payloads = payloads
	if err := a.wholly(v, p.text("domains"), framework != "", &o); err != nil {
		return err
	}
	if !a.packing.TryLock() {
		return &broker.Error{Kind: broker.Overloaded, Op: "make evidence", Public: "other evidence is being made; try again", Retry: 30 * time.Second}
	}
	defer a.packing.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), maxEvidence) // a client that is gone takes no more
	defer cancel()
	look := audit.Reading{What: audit.ReadEvidence, For: soughtFor(r.URL.Query())}
	if payloads {
		if err := a.readsAll(ctx, v, o); err != nil {
			return err
		}
		look.Tier = string(policy.TierResults)
	}
	if err := a.cfg.Broker.Reading(ctx, v.id, look); err != nil {
		return err
	}
	if framework != "" {
		var err error
		if o.Extra, o.Readme, err = evidence.Files(ctx, a.cfg.Log, framework, hindsight.Options{Since: o.Since, Until: o.Until}); err != nil {
			return err
		}
	}
	a.send(ctx, w, o)
	return nil
}

// wholly names the domains of a pack: those that were asked for, or all that there are for
// the viewer to read as a whole.
func (a *api) wholly(v *viewer, asked string, all bool, o *pack.Options) error {
	denied := func(format string, args ...any) error {
		return &broker.Error{Kind: broker.Denied, Op: "make evidence", Public: fmt.Sprintf(format, args...)}
	}
	every, readable := a.domains(v)
	if !v.mayReadDomain(audit.OwnDomain) {
		return denied("evidence has the records of the domain %s, which you may not read", audit.OwnDomain)
	}
	o.Domains = slices.DeleteFunc(slices.Clone(readable), func(d string) bool { return d == audit.OwnDomain })
	if all && (asked != "" || len(readable) < len(every)) {
		return denied("evidence for a framework is of all domains, and you may read only: %s", strings.Join(readable, ", "))
	}
	if asked != "" {
		o.Domains = strings.Split(asked, ",")
		for _, d := range o.Domains {
			if !slices.Contains(readable, d) {
				return denied("there is no domain %s that you may read as a whole", printable(d))
			}
		}
	}
	if len(o.Domains) == 0 {
		return denied("there is no domain of calls that you may read as a whole")
	}
	return nil
}

// readsAll is nil if the viewer may read arguments and results of every call of a pack.
func (a *api) readsAll(ctx context.Context, v *viewer, o pack.Options) error {
	q := index.Query{Domains: o.Domains, Until: o.Until, Limit: index.MaxLimit}
	for {
		page, err := a.cfg.History.Search(ctx, q)
		if err != nil {
			return fmt.Errorf("make evidence: %w", err)
		}
		for _, c := range page.Folded {
			if v.reads(broker.SubjectOf(c)) != policy.TierResults {
				return &broker.Error{
					Kind: broker.Denied, Op: "make evidence", CallID: c.ID,
					Public: "you may not read the results of all of these calls (of " + c.Intent.Tool + ", for one): ask for tier=metadata, or for other domains",
				}
			}
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}

// send writes a pack. What goes wrong once it is under way breaks the connection off, so
// that nobody takes what has arrived for a pack.
func (a *api) send(ctx context.Context, w http.ResponseWriter, o pack.Options) {
	h := w.Header()
	secure(h)
	h.Set("Content-Type", mediaZIP)
	h.Set("Content-Disposition", `attachment; filename="evidence.zip"`)
	to := &unhurried{ctx: ctx, w: w, wait: a.cfg.Timeout}
	if _, err := pack.Write(ctx, to, a.cfg.Log, o); err != nil {
		a.cfg.Logger.LogAttrs(ctx, slog.LevelError, "evidence broke off", slog.Int64("bytes", to.written), slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
}

// unhurried is an answer that may take as long as its client takes some of it in each wait.
type unhurried struct {
	ctx     context.Context //nolint:containedctx // of the one answer
	w       http.ResponseWriter
	wait    time.Duration
	written int64
}

func (u *unhurried) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	_ = http.NewResponseController(u.w).SetWriteDeadline(time.Now().Add(u.wait)) // not a connection of a real server
	n, err := u.w.Write(p)
	u.written += int64(n)
	return n, err
}

var _ io.Writer = (*unhurried)(nil)
