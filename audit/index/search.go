package index

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

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
	// Readable are those of them in which the viewer may read what calls were made with:
	// there alone arguments are searched, by Text as by Arguments.
	Readable []string

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
	Session  string    // at the identity provider
	// Arguments that calls were made with, each as a JSON pointer, =, and the text of
	// the value there: /amount=150. What stands before the first = is the pointer.
	Arguments []string

	Limit int    // DefaultLimit if 0, at most MaxLimit
	After string // continue after the page that gave this cursor

	spelled map[string][]string // the words that begin as those do that were typed, where they are few
	without []term              // of the text, which are not asked for
	begun   []string            // words, of which calls of the tools have one that are asked for by a beginning; nil if that says nothing
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
	if _, findable := q.terms(); !findable {
		return Page{}, nil
	}
	i.fresh(ctx)
	var page Page
	err = i.reading(func(db *sql.DB) error {
		first, last, err := within(ctx, db, q.Since, q.Until)
		if err == nil {
			q.begun, err = q.begunTools(ctx, db)
		}
		if err != nil {
			return err
		}
		if after > 0 {
			last = min(last, after-1)
		}
		if first > last {
			return nil
		}
		var right bool
		if page, right, err = q.guess(ctx, db, first, last); right || err != nil {
			return err
		}
		if q.spelled, err = spell(ctx, db, q.Text); err != nil {
			return err
		}
		statement, args, findable := q.statement(first, last)
		if !findable {
			return nil
		}
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
		if err := json.Unmarshal(folded, &c); err != nil {
			return Page{}, &unusableError{err}
		}
		page.Calls = append(page.Calls, summarize(&c))
		page.Folded = append(page.Folded, c)
	}
	return page, rows.Err()
}

// statement writes the query: the full text yields the numbers of calls, the newest
// first (CROSS JOIN: SQLite keeps that order), and calls are then looked up by them.
// Of numbers only those from first to last are looked at.
func (q Query) statement(first, last int64) (string, []any, bool) {
	found, findable := q.terms()
	if !findable {
		return "", nil, false
	}
	conditions, args := `w.words MATCH ?`, []any{strings.Join(found, " AND ")}
	add := func(condition string, values ...any) {
		conditions, args = conditions+` AND `+condition, append(args, values...)
	}
	if first > 1 {
		add(`w.rowid >= ?`, first)
	}
	if last < math.MaxInt64 {
		add(`w.rowid <= ?`, last)
	}
	if prefix, ok := strings.CutSuffix(q.Tool, "*"); ok && prefix != "" {
		add(`substr(c.tool, 1, length(?)) = ?`, prefix, prefix)
	}
	if !q.Since.IsZero() {
		add(`c.opened >= ?`, nanos(q.Since))
	}
	if !q.Until.IsZero() {
		add(`c.opened < ?`, nanos(q.Until))
	}
	return `SELECT c.n, c.folded FROM words w CROSS JOIN calls c ON c.n = w.rowid WHERE ` + conditions +
		` ORDER BY w.rowid DESC LIMIT ?`, append(args, q.Limit+1), true
}

// terms are what the full text is asked for, all of it. Nothing is findable
// without domains, nor by a text that has no words.
func (q Query) terms() (terms []string, findable bool) {
	if len(q.Domains) == 0 {
		return nil, false
	}
	where, findable := q.content()
	if !findable {
		return nil, false
	}
	terms = []string{where}
	if len(q.Outcomes) > 0 {
		terms = append(terms, anyOf(facetOutcome, q.Outcomes))
	}
	tool, kind := q.Tool, facetTool
	if name, ok := strings.CutSuffix(tool, "."); ok {
		tool, kind = name, facetUpstream
	}
	if strings.HasSuffix(tool, "*") {
		tool = ""
	}
	if q.begun != nil {
		if len(q.begun) == 0 {
			return nil, false
		}
		terms = append(terms, `("`+strings.Join(q.begun, `" OR "`)+`")`)
	}
	for _, f := range [][2]string{
		{facetState, q.State},
		{facetOutcome, q.Outcome},
		{facetTrace, q.Trace},
		{facetSession, q.Session},
		{facetVoter, q.Approver},
		{facetPolicy, q.Policy},
		{facetPerson, q.Person},
		{kind, tool},
		{facetAgent, q.Agent},
	} {
		if f[1] != "" {
			terms = append(terms, anyOf(f[0], f[1:]))
		}
	}
	return terms, true
}

// content is a term for the domains, and in each for what was typed: arguments are searched
// in those only where they may be read.
func (q Query) content() (term string, findable bool) {
	typed := match(q.Text)
	switch noText := strings.TrimSpace(q.Text) == ""; {
	case noText && len(q.Arguments) == 0:
		return anyOf(facetDomain, q.Domains), true
	case !noText && len(typed) == 0:
		return "", false
	}
	in := func(domains []string, alsoArguments bool) string {
		terms := []string{anyOf(facetDomain, domains)}
		for _, t := range typed {
			if slices.Contains(q.without, t) {
				continue
			}
			if word := t.quoted(q.spelled, alsoArguments); word != "" {
				terms = append(terms, word)
			} else {
				return ""
			}
		}
		for _, a := range q.Arguments {
			terms = append(terms, anyOf(facetArgument, []string{a}))
		}
		return `(` + strings.Join(terms, " AND ") + `)`
	}
	var readable, others []string
	for _, d := range q.Domains {
		if slices.Contains(q.Readable, d) {
			readable = append(readable, d)
		} else {
			others = append(others, d)
		}
	}
	var parts []string
	if len(readable) > 0 {
		parts = append(parts, in(readable, true))
	}
	if len(others) > 0 && len(q.Arguments) == 0 {
		parts = append(parts, in(others, false))
	}
	parts = slices.DeleteFunc(parts, func(p string) bool { return p == "" })
	return `(` + strings.Join(parts, " OR ") + `)`, len(parts) > 0
}

// anyOf is a term for one of some values of a facet, of which there is at least one.
func anyOf(kind string, values []string) string {
	tokens := make([]string, len(values))
	for i, v := range values {
		tokens[i] = `"` + facetToken(kind, v) + `"`
	}
	return `(` + strings.Join(tokens, ` OR `) + `)`
}

// fingerprint is of everything in a query that decides what it finds.
func (q Query) fingerprint() [8]byte {
	q.Limit, q.After, q.spelled, q.without, q.begun = 0, "", nil, nil, nil
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
