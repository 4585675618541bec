package index

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/internal/direct"
)

// tallyOpen is what calls that are not closed are counted under.
const tallyOpen = "open"

// writer owns the connection that writes.
type writer struct {
	mu   sync.Mutex // held for a transaction
	conn *direct.Conn

	begin, commit, rollback               *direct.Stmt
	end, find, create, update             *direct.Stmt
	addNewWords, addWordsAgain, count, at *direct.Stmt
	addPulse, dropPulse, addPrecedent     *direct.Stmt
	addSpan                               *direct.Stmt
	dropCall, dropWords                   *direct.Stmt

	next    int64                 // the number of the next call
	words   words                 // of the call that is being stored
	tallies map[tallyKey]*tallied // what the transaction changes, as do these:
	pulses  map[pulseKey]int64
	spans   map[spanKey]span
	pruned  int64 // the hour in which old minutes were dropped last

	precedents map[precedentKey]int64
}

// tallyKey is what calls are counted by, and tallied is how the count changes.
type (
	tallyKey struct{ agent, domain, principal, tool, outcome string }
	tallied  struct{ calls, first, last int64 }
)

func openWriter(ctx context.Context, path string) (*writer, error) {
	// A call takes two to three kilobytes: pages of eight leave less of themselves empty.
	c, err := direct.Connect(ctx, direct.DSN(path, "rw", nil, "busy_timeout(5000)", "temp_store(memory)",
		"page_size(8192)", "synchronous(normal)", "secure_delete(1)", "wal_autocheckpoint(2000)"))
	if err != nil {
		return nil, damage(err)
	}
	// The driver runs those in the order of the alphabet, and the size of pages is settled by this.
	if err := c.Exec(ctx, `PRAGMA journal_mode = wal`); err != nil {
		return nil, errors.Join(damage(err), c.Close())
	}
	w := &writer{conn: c, tallies: map[tallyKey]*tallied{}, pulses: map[pulseKey]int64{}, spans: map[spanKey]span{}, precedents: map[precedentKey]int64{}}
	if err := prepareFile(ctx, c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	for _, s := range []struct {
		to    **direct.Stmt
		query string
	}{
		{&w.begin, `BEGIN IMMEDIATE`},
		{&w.commit, `COMMIT`},
		{&w.rollback, `ROLLBACK`},
		{&w.end, `SELECT coalesce(max(n), 0) FROM calls`},
		{&w.find, `SELECT n, folded, events FROM calls WHERE id = ?`},
		{&w.create, `INSERT INTO calls (n, id, tool, opened, folded, events) VALUES (?, ?, ?, ?, ?, ?)`},
		{&w.update, `UPDATE calls SET tool = ?, opened = ?, folded = ?, events = ? WHERE n = ?`},
		{&w.addNewWords, `INSERT INTO words(rowid, text) VALUES (?, ?)`},
		{&w.addWordsAgain, `INSERT OR REPLACE INTO words(rowid, text) VALUES (?, ?)`},
		{&w.count, `INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
			calls = calls + excluded.calls, first = min(first, excluded.first), last = max(last, excluded.last)`},
		{&w.dropCall, `DELETE FROM calls WHERE n = ?`},
		{&w.dropWords, `DELETE FROM words WHERE rowid = ?`},
		{&w.addPulse, `INSERT INTO pulse VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n`},
		{&w.addSpan, `INSERT INTO spans VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)`},
		{&w.dropPulse, `DELETE FROM pulse WHERE unit = ? AND bucket < ?`},
		{&w.addPrecedent, `INSERT INTO precedents VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls`},
		{&w.at, `UPDATE place SET cursor = ?, records = ?, newest = ?, before = ?, last = ?, digest = ?`},
	} {
		if *s.to, err = c.Prepare(ctx, s.query); err != nil {
			return nil, errors.Join(damage(err), c.Close())
		}
	}
	return w, nil
}

func (w *writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn.Close()
}

// transact stores all that f writes, or nothing.
func (w *writer) transact(f func(*writer) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.begin.Run(); err != nil {
		return err
	}
	clear(w.tallies)
	clear(w.pulses)
	clear(w.spans)
	clear(w.precedents)
	end, err := w.end.Ints()
	if err == nil {
		w.next = end[0] + 1
		err = f(w)
	}
	if err == nil {
		err = w.commit.Run()
	}
	if err != nil {
		return errors.Join(err, w.undo())
	}
	return nil
}

// undo ends a transaction that failed. SQLite may have ended it already.
func (w *writer) undo() error {
	const noTransaction = 1 // SQLITE_ERROR
	if err := w.rollback.Run(); err != nil && direct.Code(err) != noTransaction {
		return err
	}
	return nil
}

// truncate empties the write-ahead log, and with it what was deleted.
func (w *writer) truncate(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conn.Exec(ctx, `PRAGMA wal_checkpoint(truncate)`)
}

func (w *writer) place(p place) error {
	return w.at.Run(string(p.cursor), p.records, nanos(p.newest), string(p.before), p.last, p.digest)
}

// load reads a call; nil if it is not there.
func (w *writer) load(id string) (*entry, error) {
	row, err := w.find.Row(id)
	if err != nil || row == nil {
		return nil, err
	}
	n, isNumber := row[0].(int64)
	folded, isText := row[1].([]byte)
	events, areText := row[2].([]byte)
	if !isNumber || !isText || !areText {
		return nil, &unusableError{errors.New("a call's row has other types than were written")}
	}
	e := &entry{n: n}
	if err := errors.Join(json.Unmarshal(folded, &e.call), json.Unmarshal(events, &e.events)); err != nil {
		return nil, &unusableError{err}
	}
	e.tally, e.fate, e.beats = talliedUnder(&e.call), fateOf(&e.call), len(beatsOf(&e.call))
	return e, nil
}

// store writes a call and everything that it is found by.
func (w *writer) store(e *entry, arguments []byte) error {
	folded, err := json.Marshal(&e.call, json.FormatNilSliceAsNull(true))
	if err != nil {
		return err
	}
	events, err := json.Marshal(e.events)
	if err != nil {
		return err
	}
	opened := e.call.Opening.Time
	if opened.IsZero() && len(e.events) > 0 { // a call that nothing opened
		opened = e.events[0].Time
	}
	if e.fresh {
		e.n = w.next
		w.next++
		err = w.create.Run(e.n, e.call.ID, e.call.Intent.Tool, nanos(opened), folded, events)
	} else {
		err = w.update.Run(e.call.Intent.Tool, nanos(opened), folded, events, e.n)
	}
	if err != nil {
		return err
	}
	w.spanned(e.n, opened)
	w.tally(e)
	w.pulse(e)
	w.precedent(e)
	return w.addWords(e, arguments)
}

func (w *writer) addWords(e *entry, arguments []byte) error {
	w.words.text = w.words.text[:0]
	w.words.document(&e.call, arguments)
	if e.fresh {
		return w.addNewWords.Run(e.n, string(w.words.text))
	}
	return w.addWordsAgain.Run(e.n, string(w.words.text))
}

// talliedUnder is what a call is counted under: "" if no agent made it.
func talliedUnder(c *calls.Call) string {
	switch {
	case c.State == calls.None || len(c.Intent.Identity.Chain) == 0:
		return ""
	case c.State == calls.Closed:
		return c.Outcome.Code
	default:
		return tallyOpen
	}
}

// tally counts the call under its agent and outcome of now.
func (w *writer) tally(e *entry) {
	c := &e.call
	now := talliedUnder(c)
	if now == e.tally {
		return
	}
	key := tallyKey{c.Intent.Identity.Chain[0].ID, c.Domain, c.Intent.Identity.Principal, c.Intent.Tool, e.tally}
	if e.tally != "" {
		w.tallied(key).calls--
	}
	key.outcome, e.tally = now, now
	t := w.tallied(key)
	t.calls++
	t.first = min(t.first, nanos(c.Opening.Time))
	t.last = max(t.last, nanos(latest(c.Opening.Time, c.Closing.Time)))
}

func (w *writer) tallied(key tallyKey) *tallied {
	t := w.tallies[key]
	if t == nil {
		t = &tallied{first: math.MaxInt64}
		w.tallies[key] = t
	}
	return t
}

// storeTallies writes what [writer.tally] has counted.
func (w *writer) storeTallies() error {
	for k, t := range w.tallies {
		if err := w.count.Run(k.agent, k.domain, k.principal, k.tool, k.outcome, t.calls, t.first, t.last); err != nil {
			return err
		}
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
