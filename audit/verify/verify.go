package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/grants"
	"github.com/deedbroker/deed/audit/seal"
)

// progressEvery is how many records pass between two calls of Options.Progress.
const progressEvery = 10_000

type verifier struct {
	source  Source
	options Options
	report  *Report

	sizes      map[string]int64
	logs       map[string]*logState
	keys       keys
	statements statements
	sources    map[string]bool // that said they started
	policies   map[string]bool // digests of the sets that were put in force
	granted    grants.Book
	calls      protocol
	workers    *workers
	beside     *audit.Attached // the record that is being checked, with what stands beside it; nil if the source does not give both
	newest     time.Time       // of the records that no witnessed checkpoint covers
	erasures   erasures
}

// logState is how far a log is checked.
type logState struct {
	name                        string
	absent                      bool      // checkpoints tell of it, and the source does not have it
	firstUnsealed, lastUnsealed time.Time // when records were written that no checkpoint covers
	firstUnwitnessed            time.Time // when the first was that no witnessed one covers
	size                        int64     // records that the source says there are, at least
	first                       int64     // index of the first one that retention has left
	since                       time.Time // of that one's event; set when it was read
	next                        int64     // index that comes next
	tree                        seal.Frontier
	good                        seal.Frontier  // as of the last checkpoint that fitted
	checkpoints                 []signed       // still to be compared, the smallest first
	witnessed                   []signed       // those that witnesses have signed, to be compared with them
	key                         int            // that signed the newest
	bad                         bool           // the last checkpoint compared did not fit
	lost                        bool           // the tree cannot be recomputed any more
	waiting                     bool           // for a checkpoint that tells what the tree grows on from
	start                       *seal.Frontier // that checkpoint's
	removals                    []removal      // by retention, as control says, the shortest first
	removedTo                   int64          // the first record that none of them is about
	checked                     int            // removals whose roots were compared
	unremoved                   int64          // records that are there and should be removed
	report                      LogReport
}

// Verify checks the whole history that source has when it is called. The report
// says what was found; an error means that the source could not be read to an end,
// or that ctx was done.
func Verify(ctx context.Context, source Source, options Options) (*Report, error) {
	begun := time.Now()
	if options.MaxFindings <= 0 {
		options.MaxFindings = DefaultMaxFindings
	}
	sizes, err := source.Sizes(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify history: %w", err)
	}
	v := &verifier{
		statements: newStatements(), erasures: newErasures(),
		source: source, options: options, sizes: sizes, logs: map[string]*logState{}, sources: map[string]bool{}, policies: map[string]bool{},
		report: &Report{Tenant: options.Tenant, KeyGiven: len(options.Keys) > 0, Findings: []Finding{}, Notes: []string{}},
	}
	v.calls = newProtocol(v)
	if err := v.run(ctx); err != nil {
		return nil, fmt.Errorf("verify history: %w", err)
	}
	v.report.Duration = time.Since(begun)
	return v.report, nil
}

func (v *verifier) run(ctx context.Context) error {
	for name := range v.sizes {
		if err := v.trimmed(ctx, v.log(name)); err != nil {
			return err
		}
	}
	if err := errors.Join(v.readControl(ctx), ctx.Err()); err != nil {
		return err
	}
	if err := v.readCheckpoints(ctx); err != nil {
		return err
	}
	v.report.Keys = v.keys.chain
	if err := v.readAll(ctx); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(v.logs)) {
		l := v.logs[name]
		if l.absent {
			continue
		}
		v.finish(ctx, l)
		v.report.Logs = append(v.report.Logs, l.report)
	}
	v.checkWitnesses()
	if err := v.calls.finish(ctx); err != nil {
		return err
	}
	if v.report.Erased > 0 {
		v.note(fmt.Sprintf("%d payloads were erased; what was said about them stands", v.report.Erased))
	}
	if v.report.Unerased > 0 {
		v.note(fmt.Sprintf("%d payloads are there that the record says are erased: the broker goes on with that when it starts", v.report.Unerased))
	}
	if v.report.Withheld > 0 {
		v.note(fmt.Sprintf("%d payloads were left out; what was said about them stands", v.report.Withheld))
	}
	if v.report.Unsampled > 0 {
		v.note(fmt.Sprintf("%d statements of who made a call were not checked, %d were, as a sample", v.report.Unsampled, v.report.Statements))
	}
	if len(v.sources) == 0 && v.report.Records > 0 {
		v.note("no replica said that it started: who wrote the records was not checked")
	}
	slices.SortStableFunc(v.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Where.Log, b.Where.Log), cmp.Compare(a.Where.Index, b.Where.Index))
	})
	return nil
}

func (v *verifier) log(name string) *logState {
	l := v.logs[name]
	if l == nil {
		l = &logState{name: name, size: v.sizes[name], report: LogReport{Log: name}}
		v.logs[name] = l
		v.begin(l)
	}
	return l
}

// begin puts a log that is there in part at the place where it begins.
func (v *verifier) begin(l *logState) {
	partial, ok := v.source.(Partial)
	if !ok {
		return
	}
	from, before, ok := partial.Part(l.name)
	if l.absent = !ok; !ok || from == 0 {
		return
	}
	l.first, l.next, l.report.From = from, from, from
	t, err := seal.NewFrontier(from, before)
	if err != nil {
		l.lost = true
		v.find(Finding{Rule: Missing, Where: audit.Position{Log: l.name, Index: from}, Expected: "the roots of the subtrees before it", Found: fmt.Sprintf("%d hashes", len(before))})
		return
	}
	l.tree, l.good = *t, *t
	v.note(fmt.Sprintf("%s: begins at record %d of %d; what was before is in the sealed tree, but not in this source", l.name, from, l.size))
}

func (v *verifier) find(f Finding) {
	if len(v.report.Findings) >= v.options.MaxFindings {
		v.report.Omitted++
		return
	}
	v.report.Findings = append(v.report.Findings, f)
}

func (v *verifier) note(text string) { v.report.Notes = append(v.report.Notes, text) }

// readAll checks every record. A source that cannot be read on is read record by
// record from there, so that what is behind a gap is checked as well.
func (v *verifier) readAll(ctx context.Context) error {
	var total int64
	for _, n := range v.sizes {
		total += n
	}
	var after audit.Position // the record that comes next, as far as the last one tells
	v.workers = newWorkers(v)
	defer v.workers.end()
	for r, err := range v.read(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			v.beside = nil
			v.find(Finding{Rule: Unreadable, Where: after, Expected: "records in order up to the end", Found: err.Error()})
			return v.readSingly(ctx)
		}
		after = audit.Position{Log: r.Position.Log, Index: r.Position.Index + 1}
		if v.log(r.Position.Log).beyond(r) {
			continue // written since Verify was called
		}
		v.record(ctx, r)
		if v.options.Progress != nil && v.report.Records%progressEvery == 0 {
			v.options.Progress(v.report.Records, total)
		}
	}
	v.beside = nil
	return v.readSingly(ctx)
}

// read reads the history, with what stands beside the records if that is of use.
func (v *verifier) read(ctx context.Context) iter.Seq2[audit.Record, error] {
	source, ok := v.source.(Beside)
	if !ok || v.options.SkipPayloads {
		return v.source.Read(ctx, "")
	}
	return func(yield func(audit.Record, error) bool) {
		for a, err := range source.ReadBeside(ctx, "") {
			v.beside = &a
			if !yield(a.Record, err) {
				return
			}
		}
	}
}

// beyond tells records that were not there when the verification began: their
// checkpoints were not read either.
func (l *logState) beyond(r audit.Record) bool { return r.Position.Index >= l.size }

// readSingly reads what each log has left.
func (v *verifier) readSingly(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(v.sizes)) {
		l := v.logs[name]
		for i := l.next; i < l.size; i++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			r, err := v.source.Record(ctx, audit.Position{Log: name, Index: i})
			switch {
			case errors.Is(err, audit.ErrNotFound):
				continue // the next one shows the gap
			case err != nil:
				v.find(Finding{Rule: Unreadable, Where: audit.Position{Log: name, Index: i}, Found: err.Error()})
				continue
			}
			v.record(ctx, r)
		}
		if l.next < l.size {
			v.gap(ctx, l, l.size)
		}
	}
	return nil
}

// record checks one record: its place, its bytes, and what it says.
func (v *verifier) record(ctx context.Context, r audit.Record) {
	l := v.log(r.Position.Log)
	v.report.Records++
	switch {
	case r.Position.Index > l.next:
		v.gap(ctx, l, r.Position.Index)
	case r.Position.Index < l.next:
		v.find(Finding{Rule: OutOfOrder, Where: r.Position, Expected: fmt.Sprintf("index %d", l.next), Found: fmt.Sprintf("index %d", r.Position.Index), CallID: subject(r)})
		return
	}
	l.resume()
	v.present(l, r.Position)
	l.next++
	if !l.lost && !l.waiting {
		l.tree.Add(tlog.RecordHash(r.Stored))
		v.compare(ctx, l)
		v.compareRemovals(l)
	}
	v.event(ctx, r)
}

// gap reports records that are not there, unless retention has removed them. If their
// hashes are there, the tree goes on.
func (v *verifier) gap(ctx context.Context, l *logState, end int64) {
	if removed := min(end, l.removedTo); removed > l.next {
		l.report.Removed += removed - l.next
		if l.first == l.next {
			l.first = removed
		}
		v.pass(ctx, l, removed)
	}
	if l.next == end {
		return
	}
	expected := "a record"
	if l.next == l.first {
		expected = "a record, or an event that says that retention has removed it"
	}
	found := fmt.Sprintf("none: records %d to %d are missing", l.next, end-1)
	v.find(Finding{Rule: Missing, Where: audit.Position{Log: l.name, Index: l.next}, Expected: expected, Found: found})
	v.pass(ctx, l, end)
}

// pass grows the tree by the hashes of records that are not there.
func (v *verifier) pass(ctx context.Context, l *logState, end int64) {
	hashed, ok := v.source.(Hashed)
	l.lost = l.lost || !ok
	for ; l.next < end && !l.lost; l.next++ {
		h, err := hashed.Hashes(ctx, l.name).ReadHashes([]int64{tlog.StoredHashIndex(0, l.next)})
		if err != nil {
			l.lost = true
			break
		}
		l.tree.Add(h[0])
		v.compare(ctx, l)
		v.compareRemovals(l)
	}
	l.next = end
}
