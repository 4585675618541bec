package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

// signed is a checkpoint whose signature is good.
type signed struct {
	size int64
	root tlog.Hash
	at   int64 // index in the checkpoints log; -1 for one that was kept outside
}

// readCheckpoints opens every checkpoint and sorts them by their logs.
func (v *verifier) readCheckpoints(ctx context.Context) error {
	newest := 0 // the newest key that has signed
	err := v.each(ctx, seal.CheckpointsLog, func(r audit.Record) {
		e, err := r.Event()
		if err != nil || e.Type != audit.TreeSigned {
			return // the pass over all records reports it
		}
		data, err := audit.DataOf[audit.Checkpoint](e)
		if err != nil {
			v.find(Finding{Rule: Unparsable, Where: r.Position, Found: err.Error()})
			return
		}
		c, by, err := seal.OpenEvent(data, v.keys.chain...)
		if err != nil {
			v.find(Finding{Rule: BadCheckpoint, Where: r.Position, Expected: "a checkpoint signed by a key of this log", Found: err.Error()})
			return
		}
		v.report.Checkpoints++
		key := v.keys.position(by)
		if key < newest {
			v.find(Finding{Rule: CheckpointOrder, Where: r.Position, Expected: "the key " + v.keys.chain[newest].String(), Found: by.String()})
		}
		newest = max(newest, key)
		v.frontier(r.Position, c, data.Frontier)
		v.checkpoint(r.Position, c, key, e.Time)
		v.witnessed(r.Position, c, data.Witnessed)
	})
	if err != nil {
		return err
	}
	v.kept()
	for _, l := range v.logs {
		l.checkpoints = append(l.checkpoints, l.witnessed...)
		l.witnessed = nil
		slices.SortStableFunc(l.checkpoints, func(a, b signed) int { return cmp.Compare(a.size, b.size) })
	}
	v.checkTrust()
	return nil
}

func (v *verifier) checkpoint(at audit.Position, c seal.Checkpoint, key int, when time.Time) {
	if v.report.Tenant == "" {
		v.report.Tenant = c.Tenant
	}
	if c.Tenant != v.report.Tenant {
		v.find(Finding{Rule: UnknownTenant, Where: at, Expected: v.report.Tenant, Found: c.Tenant})
	}
	l := v.log(c.Log)
	if l.absent {
		return
	}
	l.report.Checkpoints++
	if n := len(l.checkpoints); n > 0 {
		switch last := l.checkpoints[n-1]; {
		case c.Size < last.size:
			v.find(Finding{Rule: CheckpointOrder, Where: at, Expected: fmt.Sprintf("a tree of at least %d records of %s", last.size, c.Log), Found: fmt.Sprintf("%d", c.Size)})
		case c.Size == last.size && c.Root != last.root:
			v.find(Finding{Rule: Forked, Where: at, Expected: fmt.Sprintf("root %s of %s at %d", last.root, c.Log, c.Size), Found: c.Root.String()})
		}
	}
	if c.Size > l.size && !v.mayBeEmptied(l) {
		v.find(Finding{Rule: Truncated, Where: audit.Position{Log: c.Log, Index: l.size}, Expected: fmt.Sprintf("%d records, sealed by %s", c.Size, at), Found: fmt.Sprintf("%d records", l.size)})
	}
	if c.Size >= l.report.Sealed {
		l.report.Sealed, l.report.LastCheckpoint, l.key = c.Size, when, key
	}
	l.checkpoints = append(l.checkpoints, signed{size: c.Size, root: c.Root, at: at.Index})
}

// kept adds the checkpoints that the reviewer kept outside.
func (v *verifier) kept() {
	for _, text := range v.options.Kept {
		c, _, err := seal.OpenCheckpoint(text, append(slices.Clone(v.options.Keys), v.keys.chain...)...)
		if err != nil {
			v.find(Finding{Rule: CheckpointAbsent, Expected: "a checkpoint signed by a key of this log", Found: err.Error()})
			continue
		}
		l := v.log(c.Log)
		if _, partial := v.source.(Partial); partial && (l.absent || c.Size > l.size || c.Size < l.first) {
			v.note(fmt.Sprintf("a kept checkpoint of %s at %d says nothing about this source", c.Log, c.Size))
			continue
		}
		if c.Size > l.size && (!v.mayBeEmptied(l) || c.Size > l.report.Sealed) {
			v.find(Finding{Rule: Truncated, Where: audit.Position{Log: c.Log, Index: l.size}, Expected: fmt.Sprintf("%d records, as a kept checkpoint says", c.Size), Found: fmt.Sprintf("%d records", l.size)})
		}
		v.cosigned(audit.Position{Log: c.Log, Index: max(0, c.Size-1)}, c, text)
		l.checkpoints = append(l.checkpoints, signed{size: c.Size, root: c.Root, at: -1})
	}
}

// checkTrust asks whether what is sealed last is sealed by a trusted key. The keys
// before it stand in the control log, and are as good as the seal of that.
func (v *verifier) checkTrust() {
	control := v.log(audit.OwnDomain + "/" + audit.TopicControl)
	if len(v.options.Keys) == 0 || v.keys.trusted <= 0 || (control.report.Checkpoints > 0 && control.key >= v.keys.trusted) {
		return
	}
	for _, l := range v.logs {
		if l.report.Checkpoints > 0 && l.key < v.keys.trusted {
			v.find(Finding{
				Rule: UnknownKey, Where: audit.Position{Log: l.name, Index: max(0, l.report.Sealed-1)},
				Expected: v.keys.chain[v.keys.trusted].String(), Found: v.keys.chain[l.key].String(),
			})
		}
	}
}

// compare checks the tree as it is now against the checkpoints of its size.
func (v *verifier) compare(ctx context.Context, l *logState) {
	for len(l.checkpoints) > 0 && l.checkpoints[0].size <= l.tree.Size() {
		c := l.checkpoints[0]
		l.checkpoints = l.checkpoints[1:]
		if c.size < l.tree.Size() { // of size 0, or of records that are missing
			continue
		}
		if l.tree.Root() != c.root && !v.locate(ctx, l, c) {
			v.mismatch(l, c)
			continue
		}
		l.bad = false
		l.good = l.tree
	}
}

// mismatch reports the first of the checkpoints that do not fit; those after it
// cannot fit either, unless it is the checkpoint that is wrong.
func (v *verifier) mismatch(l *logState, c signed) {
	if l.bad {
		return
	}
	l.bad = true
	v.find(Finding{
		Rule: RootMismatch, Where: audit.Position{Log: l.name, Index: l.good.Size()}, Expected: "root " + c.root.String() + ", as " + c.where() + " says",
		Found: fmt.Sprintf("%s: one of the records %d to %d is not what was sealed", l.tree.Root(), l.good.Size(), c.size-1),
	})
}

func (c signed) where() string {
	if c.at < 0 {
		return "the kept checkpoint"
	}
	return audit.Position{Log: seal.CheckpointsLog, Index: c.at}.String()
}

// locate names the records since the last good checkpoint whose stored hashes tell
// that they were altered. It reports whether, with the stored hashes in their
// place, the tree is the sealed one; it then goes on from there.
func (v *verifier) locate(ctx context.Context, l *logState, c signed) bool {
	tree, altered := v.replay(ctx, l, c.size)
	if altered == nil {
		return false
	}
	sealed := tree.Root() == c.root
	if sealed {
		l.tree = tree
	}
	for _, f := range altered {
		if sealed {
			f.Expected += ", as sealed by " + c.where()
		}
		v.find(f)
	}
	return sealed
}

// replay grows the tree from the last good checkpoint by the stored hashes, and
// returns it with the records that do not fit theirs.
func (v *verifier) replay(ctx context.Context, l *logState, size int64) (seal.Frontier, []Finding) {
	hashed, ok := v.source.(Hashed)
	if !ok {
		return seal.Frontier{}, nil
	}
	reader := hashed.Hashes(ctx, l.name)
	t := l.good
	var altered []Finding
	for t.Size() < size {
		p := audit.Position{Log: l.name, Index: t.Size()}
		stored, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, t.Size())})
		if err != nil {
			return seal.Frontier{}, nil
		}
		if r, err := v.source.Record(ctx, p); err == nil {
			if now := tlog.RecordHash(r.Stored); now != stored[0] {
				altered = append(altered, Finding{Rule: Altered, Where: p, Expected: "record hash " + stored[0].String(), Found: now.String(), CallID: subject(r)})
			}
		}
		t.Add(stored[0])
	}
	return t, altered
}

func subject(r audit.Record) string {
	e, err := audit.ParseEvent(r.Stored)
	if err != nil {
		return ""
	}
	return e.Subject
}

// sealLate is how long honest records may stand one after the other without a
// checkpoint: a sealer signs every second, or the broker stops.
const sealLate = 10 * time.Minute

// unsealed looks at a record that no checkpoint covers.
func (l *logState) unsealed(e audit.Event) {
	if l.firstUnsealed.IsZero() {
		l.firstUnsealed = e.Time
	}
	l.lastUnsealed = e.Time
}

// checkSealed reports records that are not sealed and should be.
func (v *verifier) checkSealed(l *logState) {
	if l.report.Unsealed == 0 || l.name == seal.CheckpointsLog {
		return
	}
	_, partial := v.source.(Partial)
	if late := l.lastUnsealed.Sub(l.firstUnsealed); partial || late > sealLate {
		v.find(Finding{
			Rule: Unsealed, Where: audit.Position{Log: l.name, Index: l.report.Sealed}, Expected: "a checkpoint that covers it",
			Found: fmt.Sprintf("none, of %d records over %s", l.report.Unsealed, late),
		})
		return
	}
	v.note(fmt.Sprintf("%s: the last %d of %d records are not yet sealed", l.name, l.report.Unsealed, l.size))
}

// finish checks what no checkpoint covers against the stored hashes.
func (v *verifier) finish(ctx context.Context, l *logState) {
	l.report.Size = l.size
	l.report.Unsealed = max(0, l.size-max(l.first, l.report.Sealed))
	v.checkSealed(l)
	v.noteTrimmed(l)
	v.noteRemoved(l)
	v.checkEmptied(l)
	if l.lost || l.waiting {
		return
	}
	l.report.Root = l.tree.Root().String()
	hashed, ok := v.source.(Hashed)
	if !ok || l.tree.Size() == 0 || l.report.From > 0 {
		return
	}
	stored, err := tlog.TreeHash(l.tree.Size(), hashed.Hashes(ctx, l.name))
	if err == nil && stored == l.tree.Root() {
		return
	}
	_, altered := v.replay(ctx, l, l.tree.Size())
	for _, f := range altered {
		v.find(f)
	}
	if altered == nil {
		found := stored.String()
		if err != nil {
			found = err.Error()
		}
		v.find(Finding{Rule: StoredHash, Where: audit.Position{Log: l.name, Index: l.tree.Size() - 1}, Expected: "stored hashes of the root " + l.tree.Root().String(), Found: found})
	}
}
