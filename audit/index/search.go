package index

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit/calls"
)

// Bounds of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 500

	// MaxSearch bounds the free text of a query, in bytes.
	MaxSearch = 4 << 10
)

// ErrQuery is a query that cannot be answered: a limit out of bounds, or a cursor
// that was not given for it.
var ErrQuery = errors.New("query is not valid")

// Query says which calls to list. Empty fields do not filter.
type Query struct {
	// Domains are all that the viewer may read. Without any, nothing is found.
	Domains []string

	Person   string    // on whose behalf
	Agent    string    // anywhere in the chain
	Tool     string    // upstream.tool, or upstream. for all of an upstream, or any prefix that ends in *
	State    string    // see [calls.State]
	Outcome  string    // a code of audit.Outcome
	Outcomes []string  // any of these codes
	Policy   string    // that determined a decision
	Approver string    // who voted on it, or settled it
	Since    time.Time // opened at or after
	Until    time.Time // opened before
	Text     string    // all of these words; a word that ends in * is a prefix
	Trace    string    // trace id

	Limit int    // DefaultLimit if 0, at most MaxLimit
	After string // continue after the page that gave this cursor
}

// Page is a part of an answer.
type Page struct {
	Calls  []Summary
	Folded []calls.Call // the same calls, with all that their events came to
	Next   string       // the cursor of the page after this one; empty at the end
}

// Search lists calls, those that the log opened last first. Pages do not shift
// when calls are added meanwhile; a call whose state changed may enter or leave them.
func (i *Index) Search(ctx context.Context, q Query) (Page, error) {
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if q.Limit < 0 || q.Limit > MaxLimit || len(q.Text) > MaxSearch {
		return Page{}, fmt.Errorf("search history: %w: want a limit of 1 to %d, and text of at most %d bytes", ErrQuery, MaxLimit, MaxSearch)
	}
	after, err := q.after()
	if err != nil {
		return Page{}, fmt.Errorf("search history: %w", err)
	}
	statement, args, findable := q.statement(after)
	if !findable {
		return Page{}, nil
	}
	var page Page
	err = i.reading(func(db *sql.DB) error {
		page, err = q.page(ctx, db, statement, args)
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("search history: %w", err)
	}
	return page, nil
}

func (q Query) page(ctx context.Context, db *sql.DB, statement string, args []any) (Page, error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return Page{}, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var page Page
	var last int64
	for rows.Next() {
		if len(page.Calls) == q.Limit {
			page.Next = q.cursor(last)
			break
		}
		var folded []byte
		if err := rows.Scan(&last, &folded); err != nil {
			return Page{}, err
		}
		var c calls.Call
		if err := json.Unmarshal(folded, &c); err != nil { //nolint:musttag // written by this version of this package alone
			return Page{}, &unusableError{err}
		}
		page.Calls = append(page.Calls, summarize(&c))
		page.Folded = append(page.Folded, c)
	}
	return page, rows.Err()
}

// statement writes the query. What narrows it down most is read first (CROSS JOIN:
// SQLite keeps that order), and calls are then looked up by their number.
func (q Query) statement(after int64) (string, []any, bool) {
	var w where
	if len(q.Domains) == 0 {
		return "", nil, false
	}
	from, number := `calls c`, `c.n`
	if strings.TrimSpace(q.Text) != "" {
		terms := match(q.Text)
		if terms == "" {
			return "", nil, false
		}
		from, number = `words w CROSS JOIN calls c ON c.n = w.rowid`, `w.rowid`
		w.add(`w.text MATCH ?`, terms)
	}
	for _, f := range q.facets() {
		if from == `calls c` {
			from, number = `facets f CROSS JOIN calls c ON c.n = f.call`, `f.call`
			w.add(`f.kind = ? AND f.value = ?`, f[0], f[1])
			continue
		}
		w.add(`EXISTS (SELECT 1 FROM facets g WHERE g.kind = ? AND g.value = ? AND g.call = c.n)`, f[0], f[1])
	}
	if after > 0 {
		w.add(number+` < ?`, after)
	}
	q.columns(&w, number)
	statement := `SELECT c.n, c.folded FROM ` + from + ` WHERE ` + strings.Join(w.conditions, ` AND `) +
		` ORDER BY ` + number + ` DESC LIMIT ?`
	return statement, append(w.args, q.Limit+1), true
}

func (q Query) columns(w *where, number string) {
	w.in(`c.domain`, q.Domains)
	if q.State != "" {
		w.add(`c.state = ?`, q.State)
	}
	if q.Outcome != "" {
		w.add(`c.outcome = ?`, q.Outcome)
	}
	if len(q.Outcomes) > 0 {
		w.in(`c.outcome`, q.Outcomes)
	}
	if prefix, ok := strings.CutSuffix(q.Tool, "*"); ok && prefix != "" {
		w.add(`substr(c.tool, 1, length(?)) = ?`, prefix, prefix)
	}
	if !q.Since.IsZero() {
		w.add(`c.opened >= ? AND `+number+` >= (SELECT min(n) FROM calls WHERE opened >= ?)`, nanos(q.Since), nanos(q.Since))
	}
	if !q.Until.IsZero() {
		w.add(`c.opened < ?`, nanos(q.Until))
	}
}

// facets are the filters that facets answer, the rarest kinds first.
func (q Query) facets() [][2]string {
	tool, kind := q.Tool, facetTool
	if name, ok := strings.CutSuffix(tool, "."); ok {
		tool, kind = name, facetUpstream
	}
	if strings.HasSuffix(tool, "*") {
		tool = ""
	}
	var out [][2]string
	for _, f := range [][2]string{
		{facetTrace, q.Trace},
		{facetVoter, q.Approver},
		{facetPolicy, q.Policy},
		{facetPerson, q.Person},
		{kind, tool},
		{facetAgent, q.Agent},
	} {
		if f[1] != "" {
			out = append(out, f)
		}
	}
	return out
}

type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, args ...any) {
	w.conditions, w.args = append(w.conditions, condition), append(w.args, args...)
}

// in asks for one of some values, of which there is at least one.
func (w *where) in(column string, values []string) {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	w.add(column+` IN (?`+strings.Repeat(`, ?`, len(args)-1)+`)`, args...)
}

// fingerprint is of everything in a query that decides what it finds.
func (q Query) fingerprint() [8]byte {
	q.Limit, q.After = 0, ""
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v", q))
	return [8]byte(sum[:8])
}

func (q Query) cursor(n int64) string {
	query := q.fingerprint()
	return base64.RawURLEncoding.EncodeToString(binary.AppendVarint(query[:], n))
}

func (q Query) after() (int64, error) {
	if q.After == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(q.After)
	if err != nil || len(b) < 9 {
		return 0, fmt.Errorf("%w: the cursor is not one of this history", ErrQuery)
	}
	n, size := binary.Varint(b[8:])
	if size != len(b)-8 || n < 1 {
		return 0, fmt.Errorf("%w: the cursor is not one of this history", ErrQuery)
	}
	if [8]byte(b[:8]) != q.fingerprint() {
		return 0, fmt.Errorf("%w: the cursor belongs to another query", ErrQuery)
	}
	return n, nil
}
