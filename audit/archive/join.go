package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// Live is a history from which retention removes the oldest records, and which keeps
// their hashes; the embedded log's Reader is one.
type Live interface {
	pack.History
	verify.Beside
	verify.Recorded
	// Oldest is the index of the first record of a log that is left.
	Oldest(ctx context.Context, log string) (int64, error)
}

// Kept is an archive, and where it was opened.
type Kept struct {
	*pack.Pack

	Place string
}

// Joined is a history whose oldest records come from archives, and the rest from what is
// left of it. It is read as one history.
type Joined struct {
	Live

	oldest map[string]int64
	sizes  map[string]int64
	parts  map[string][]archived // by log, in the order of their first records
}

// archived is what an archive has of a log: records from one index up to another.
type archived struct {
	Kept

	from, to int64
}

var (
	_ verify.Source   = (*Joined)(nil)
	_ verify.Hashed   = (*Joined)(nil)
	_ verify.Beside   = (*Joined)(nil)
	_ verify.Recorded = (*Joined)(nil)
	_ verify.Archived = (*Joined)(nil)
)

// Join joins archives to what is left of a history. Closing them is for whoever opened
// them.
func Join(ctx context.Context, live Live, archives ...Kept) (*Joined, error) {
	j := &Joined{Live: live, oldest: map[string]int64{}, parts: map[string][]archived{}}
	var err error
	if j.sizes, err = live.Sizes(ctx); err != nil {
		return nil, fmt.Errorf("join archives: %w", err)
	}
	for log := range j.sizes {
		if j.oldest[log], err = live.Oldest(ctx, log); err != nil {
			return nil, fmt.Errorf("join archives: %w", err)
		}
	}
	for _, a := range archives {
		for _, part := range a.Manifest().Logs {
			j.parts[part.Log] = append(j.parts[part.Log], archived{a, part.From, min(part.To, j.oldest[part.Log])})
		}
	}
	for _, parts := range j.parts {
		slices.SortStableFunc(parts, func(a, b archived) int { return cmp.Compare(a.from, b.from) })
	}
	return j, nil
}

// Archived is [verify.Archived].
func (j *Joined) Archived(p audit.Position) bool { return p.Index < j.oldest[p.Log] }

// Sizes is part of [verify.Source].
func (j *Joined) Sizes(context.Context) (map[string]int64, error) { return maps.Clone(j.sizes), nil }

// holder is the archive that has a record, or the first one after it, and that one's
// index; -1 if there is none.
func (j *Joined) holder(p audit.Position) (Kept, int64) {
	for _, a := range j.parts[p.Log] {
		if p.Index < a.to {
			return a.Kept, max(a.from, p.Index)
		}
	}
	return Kept{}, -1
}

// Record is part of [verify.Source].
func (j *Joined) Record(ctx context.Context, p audit.Position) (audit.Record, error) {
	if !j.Archived(p) {
		return j.Live.Record(ctx, p)
	}
	a, at := j.holder(p)
	if at != p.Index {
		return audit.Record{}, fmt.Errorf("read %s: %w: retention has removed it, and no archive has it", p, audit.ErrNotFound)
	}
	return a.Record(ctx, p)
}

// Payload is part of [audit.Payloads]. Those of archived records are withheld.
func (j *Joined) Payload(ctx context.Context, p audit.Position, name string) (audit.Payload, error) {
	if !j.Archived(p) {
		return j.Live.Payload(ctx, p, name)
	}
	a, at := j.holder(p)
	if at != p.Index {
		return audit.Payload{}, fmt.Errorf("read payload of %s: %w", p, audit.ErrNotFound)
	}
	return a.Payload(ctx, p, name)
}

// Read is part of [verify.Source]: what is archived first, log by log.
func (j *Joined) Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		if from == "" && !j.readArchived(ctx, yield) {
			return
		}
		for r, err := range j.Live.Read(ctx, from) {
			if !yield(r, err) {
				return
			}
		}
	}
}

// ReadBeside is [verify.Beside].
func (j *Joined) ReadBeside(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Attached, error] {
	return func(yield func(audit.Attached, error) bool) {
		bare := func(r audit.Record, err error) bool { return yield(audit.Attached{Record: r}, err) }
		if from == "" && !j.readArchived(ctx, bare) {
			return
		}
		for a, err := range j.Live.ReadBeside(ctx, from) {
			if !yield(a, err) {
				return
			}
		}
	}
}

// readArchived reports whether there is more to read.
func (j *Joined) readArchived(ctx context.Context, yield func(audit.Record, error) bool) bool {
	for _, log := range slices.Sorted(maps.Keys(j.oldest)) {
		p := audit.Position{Log: log}
		for {
			a, at := j.holder(p)
			if at < 0 {
				break
			}
			p.Index = at
			r, err := a.Record(ctx, p)
			if !yield(r, err) || err != nil {
				return false
			}
			p.Index++
		}
	}
	return true
}

// Hashes is [verify.Hashed].
func (j *Joined) Hashes(ctx context.Context, log string) tlog.HashReader {
	return j.Live.Hashes(ctx, log)
}

// VerifyJoined checks each archive by itself, and then all of them together with what is
// left as one history, which has to extend every checkpoint that an archive has.
func VerifyJoined(ctx context.Context, live Live, archives []Kept, o verify.Options) (*verify.Report, error) {
	alone, err := verifyAlone(ctx, archives, o)
	if err != nil {
		return nil, err
	}
	for _, a := range archives {
		kept, err := a.checkpoints(ctx)
		if err != nil {
			return nil, fmt.Errorf("verify archive %s: %w", a.Place, err)
		}
		o.Kept = append(slices.Clip(o.Kept), kept...)
	}
	all, err := Join(ctx, live, archives...)
	if err != nil {
		return nil, err
	}
	report, err := verify.Verify(ctx, all, o)
	if err != nil {
		return nil, err
	}
	alone.into(report)
	return report, nil
}

// ErrNotMoved says that a history does not go on from another log.
var ErrNotMoved = errors.New("this history does not go on from another log, of which there could be archives")

// VerifyMoved checks a history that goes on from another log (package migrate) together
// with the archives of that one, each of which has to end as the history says.
func VerifyMoved(ctx context.Context, history verify.Source, archives []Kept, o verify.Options) (*verify.Report, error) {
	report, err := verify.Verify(ctx, history, o)
	if err != nil {
		return nil, err
	}
	if len(report.Moved) == 0 && report.OK() {
		return nil, ErrNotMoved
	}
	alone, err := verifyAlone(ctx, archives, o)
	if err != nil {
		return nil, err
	}
	for _, c := range report.Moved {
		if !alone.have(c) {
			report.Findings = append(report.Findings, verify.Finding{
				Rule: verify.Missing, Where: audit.Position{Log: c.Log, Index: max(0, c.Size-1)},
				Expected: fmt.Sprintf("an archive with the records of %s before the move, %d of the root %s", c.Log, c.Size, c.Root), Found: "none of those that were given",
			})
		}
	}
	alone.into(report)
	return report, nil
}

// alone is what archives come to by themselves.
type alone struct {
	findings []verify.Finding
	notes    []string
	logs     []verify.LogReport
}

func verifyAlone(ctx context.Context, archives []Kept, o verify.Options) (*alone, error) {
	o.Kept, o.Witnesses, o.Closed = nil, nil, false
	all := &alone{}
	for _, a := range archives {
		r, err := verify.Verify(ctx, a.Pack, o)
		if err != nil {
			return nil, fmt.Errorf("verify archive %s: %w", a.Place, err)
		}
		for _, f := range r.Findings {
			f.Found += ", in the archive " + a.Place
			all.findings = append(all.findings, f)
		}
		all.notes = append(all.notes, fmt.Sprintf("archive %s: %d records, %d calls, %d findings", a.Place, r.Records, r.Calls, int64(len(r.Findings))+r.Omitted))
		all.logs = append(all.logs, r.Logs...)
	}
	return all, nil
}

// have reports whether an archive ends a log as another that goes on from it says.
func (a *alone) have(c verify.Ended) bool {
	return slices.ContainsFunc(a.logs, func(l verify.LogReport) bool {
		return l.Log == c.Log && l.Size == c.Size && l.Root == c.Root
	})
}

func (a *alone) into(report *verify.Report) {
	report.Findings = append(report.Findings, a.findings...)
	slices.SortStableFunc(report.Findings, func(a, b verify.Finding) int {
		return cmp.Or(cmp.Compare(a.Where.Log, b.Where.Log), cmp.Compare(a.Where.Index, b.Where.Index))
	})
	report.Notes = append(a.notes, report.Notes...)
}

// checkpoints are the notes of the last checkpoint of each log. What is none is for the
// verification of the archive to tell.
func (k Kept) checkpoints(ctx context.Context) ([]string, error) {
	last := map[string]string{}
	parts := k.Manifest().Logs
	n := slices.IndexFunc(parts, func(p pack.Part) bool { return p.Log == seal.CheckpointsLog })
	if n < 0 {
		return nil, nil
	}
	for i := parts[n].From; i < parts[n].To; i++ {
		r, err := k.Record(ctx, audit.Position{Log: seal.CheckpointsLog, Index: i})
		if errors.Is(err, audit.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		e, err := r.Event()
		if err != nil || e.Type != audit.TreeSigned {
			continue
		}
		if c, err := audit.DataOf[audit.Checkpoint](e); err == nil {
			last[c.Log] = c.Note
		}
	}
	var notes []string
	for _, log := range slices.Sorted(maps.Keys(last)) {
		notes = append(notes, last[log])
	}
	return notes, nil
}
