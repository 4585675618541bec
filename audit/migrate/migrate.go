package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// Old is the log that ends, open for writing, so that no broker has it; *embedded.Log is
// one.
type Old interface {
	audit.Log
	pack.History
	seal.Trees
}

// Options say what is moved where. All are required but DryRun and Tell.
type Options struct {
	Old     Old
	Key     *seal.Key // that seals the old log, and will seal the new one
	Tenant  string
	Version string
	Source  string // of the events that say so: deed://tenant/migrate

	Store archive.Store // takes the archive of the old log
	Place string        // what that is called
	To    string        // what the new log is called
	// New opens the new log for writing under Source, once the archive is there.
	New func(ctx context.Context) (audit.Log, error)

	DryRun bool                 // look, and do nothing
	Tell   func(step string)    // is told what is done; nil for nobody
	Verify func(*verify.Report) // is told how the old log verifies; nil for nobody
}

// Result is what was moved.
type Result struct {
	Records int64            `json:"records"`
	Calls   int64            `json:"calls"`
	Carried int              `json:"carried"` // events that are still in force
	Logs    []audit.MovedLog `json:"logs"`    // none in a dry run
	Archive string           `json:"archive"`
	To      string           `json:"to"`
	DryRun  bool             `json:"dry_run,omitempty"`
}

// ErrNotReady says why a log cannot be moved as it is.
var ErrNotReady = errors.New("the log cannot be moved yet")

type mover struct {
	Options

	survey *survey
	trust  verify.Options
}

// Run moves a history. What it finds wrong with the old log is [ErrNotReady].
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	m := &mover{Options: o, trust: verify.Options{Keys: []seal.Verifier{o.Key.Verifier()}, SelfApproval: true, Tenant: o.Tenant}}
	result, err := m.run(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("migrate: %w", err)
	}
	return result, nil
}

func (m *mover) run(ctx context.Context) (Result, error) {
	out := Result{Archive: m.Place, To: m.To, DryRun: m.DryRun}
	report, err := m.check(ctx)
	if err != nil {
		return out, err
	}
	out.Records, out.Calls, out.Carried = report.Records, report.Calls, len(m.survey.inForce)
	if m.DryRun {
		return out, nil
	}
	if out.Logs, err = m.end(ctx); err != nil {
		return out, err
	}
	if err := m.archive(ctx, out.Logs); err != nil {
		return out, err
	}
	return out, m.goOn(ctx, out.Logs)
}

// check verifies the old log, and refuses one that has work left.
func (m *mover) check(ctx context.Context) (*verify.Report, error) {
	m.Tell("verifying the log that is to be moved")
	report, err := verify.Verify(ctx, m.Old, m.trust)
	if err != nil {
		return nil, err
	}
	if m.Verify != nil {
		m.Verify(report)
	}
	if !report.OK() {
		return nil, fmt.Errorf("%w: it does not verify: %s", ErrNotReady, report.Findings[0])
	}
	if m.survey, err = look(ctx, m.Old, time.Now()); err != nil {
		return nil, err
	}
	if own := m.Key.Verifier().String(); len(m.survey.keys) > 0 && m.survey.keys[len(m.survey.keys)-1].String() != own {
		return nil, fmt.Errorf("%w: its key was rotated, and %s is not the one in force: start its broker once more", ErrNotReady, own)
	}
	if ids := some(m.survey.open); ids != "" {
		return nil, fmt.Errorf("%w: %d calls are open, which the new log could not close (%s): start its broker once more, and decide or withdraw those that are held",
			ErrNotReady, len(m.survey.open), ids)
	}
	if ids := some(m.survey.unknown); ids != "" {
		return nil, fmt.Errorf("%w: of %d calls nobody knows whether they happened, and the new log would not stand in the way of their repetition (%s): reconcile them first",
			ErrNotReady, len(m.survey.unknown), ids)
	}
	return report, nil
}

// some are a few of the ids; empty if there are none.
func some(ids map[string]bool) string {
	all := slices.Sorted(maps.Keys(ids))
	if len(all) > 3 {
		all = append(all[:3:3], "…")
	}
	return strings.Join(all, ", ")
}

// end puts on record that the old log ends, and seals it.
func (m *mover) end(ctx context.Context) ([]audit.MovedLog, error) {
	if !m.survey.ended {
		m.Tell("ending it: its last event says where it goes on")
		if err := m.append(ctx, m.Old, audit.ReplicaStarted, audit.Started{Version: m.Version, Key: m.Key.Verifier().String()}); err != nil {
			return nil, err
		}
		if err := m.append(ctx, m.Old, audit.LogMoved, audit.Move{To: m.To, Archive: m.Place}); err != nil {
			return nil, err
		}
	}
	sealer, err := seal.NewSealer(seal.Config{Log: m.Old, Trees: m.Old, Key: m.Key, Trusted: m.survey.keys, Tenant: m.Tenant, Source: m.Source})
	if err != nil {
		return nil, err
	}
	if err := sealer.Seal(ctx); err != nil {
		return nil, err
	}
	sizes, err := m.Old.Sizes(ctx)
	if err != nil {
		return nil, err
	}
	var logs []audit.MovedLog
	for _, log := range slices.Sorted(maps.Keys(sizes)) {
		oldest, err := m.oldest(ctx, log)
		if err != nil {
			return nil, err
		}
		if note, c, ok := sealer.Latest(log); ok && oldest < c.Size { // else retention has left nothing of it
			logs = append(logs, audit.MovedLog{Log: log, Size: c.Size, Note: note})
		}
	}
	return logs, nil
}

// archive makes the archive of the old log, or finds that it is there, whole.
func (m *mover) archive(ctx context.Context, logs []audit.MovedLog) error {
	m.Tell("archiving it in " + m.Place)
	manifest, report, err := archive.Create(ctx, m.Store, m.Old, pack.Options{Made: time.Now()}, m.trust)
	if errors.Is(err, archive.ErrThere) {
		m.Tell("there is an archive: verifying it")
		manifest, report, err = archive.Check(ctx, m.Store, m.trust)
	}
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("the archive in %s does not verify: %s", m.Place, report.Findings[0])
	}
	for _, l := range logs {
		has := func(p pack.Part) bool { return p.Log == l.Log && p.To == l.Size }
		if !slices.ContainsFunc(manifest.Logs, has) {
			return fmt.Errorf("the archive in %s is of something else: it does not have %s up to %d; give this one a place of its own", m.Place, l.Log, l.Size)
		}
	}
	return nil
}

func (m *mover) oldest(ctx context.Context, log string) (int64, error) {
	if old, ok := m.Old.(interface {
		Oldest(ctx context.Context, log string) (int64, error)
	}); ok {
		return old.Oldest(ctx, log)
	}
	return 0, nil
}

// append writes an event of control to a log.
func (m *mover) append(ctx context.Context, log audit.Log, kind audit.Type, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = log.Append(ctx, audit.Event{
		SpecVersion: "1.0", ID: id.String(), Type: kind, Source: m.Source, Time: time.Now().UTC(), DataContentType: "application/json",
		Tenant: m.Tenant, Domain: audit.OwnDomain, Topic: audit.TopicControl, Data: raw,
	})
	return err
}
