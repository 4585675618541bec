package index

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxSpelled is how many words a beginning may stand for to be searched for by these: each
// is looked up as such, the newest calls first. For more of them the full text gathers all
// calls that have any before it finds the newest.
const maxSpelled = 256

// fewFound is how often words with a beginning may stand in calls for the full text to gather
// these calls: that is soon done.
const fewFound = 20_000

// rare reports whether words that begin so stand in few calls.
func rare(ctx context.Context, db *sql.DB, prefix string) (bool, error) {
	var found int
	err := db.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM vocabulary WHERE term >= ?1 AND term < ?1 || char(1114111) LIMIT ?2)`,
		strings.ToLower(prefix), fewFound).Scan(&found)
	return found < fewFound, err
}

// spelled are the words that begin so, if they are few; nil if not. From each the next is looked
// for, whatever the calls that have it: no word has a character before \x01.
func spelled(ctx context.Context, db *sql.DB, prefix string) (words []string, err error) {
	prefix = strings.ToLower(prefix) // as the full text keeps the letters that differ in case here
	rows, err := db.QueryContext(ctx, `WITH RECURSIVE found(word) AS (
		SELECT (SELECT term FROM vocabulary WHERE term >= ?1 LIMIT 1)
		UNION ALL
		SELECT (SELECT term FROM vocabulary WHERE term >= found.word || char(1) LIMIT 1) FROM found WHERE substr(found.word, 1, length(?1)) = ?1
	) SELECT word FROM found LIMIT ?2`, prefix, maxSpelled+1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	words = []string{}
	for rows.Next() {
		var word sql.NullString
		if err := rows.Scan(&word); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(word.String, prefix) {
			return words, nil
		}
		if len(words) == maxSpelled {
			return nil, nil
		}
		words = append(words, word.String)
	}
	return words, rows.Err()
}

// spell finds out what the beginnings of words in a text stand for, where they stand for few
// words that many calls have.
func spell(ctx context.Context, db *sql.DB, text string) (map[string][]string, error) {
	all := map[string][]string{}
	for _, t := range begun(text) {
		for _, mark := range []string{"", argumentMark} {
			few, err := rare(ctx, db, mark+t.word)
			if few || err != nil {
				if err != nil {
					return nil, err
				}
				continue
			}
			words, err := spelled(ctx, db, mark+t.word)
			if err != nil {
				return nil, err
			}
			if words != nil {
				all[mark+t.word] = words
			}
		}
	}
	return all, nil
}

// begun are the beginnings of words in a text.
func begun(text string) []term {
	return slices.DeleteFunc(match(text), func(t term) bool { return !t.prefix })
}

// begunTools are the words that begin as the tools that a query asks for by their beginning: the
// name of a tool is a word of its calls. It is nil where they say nothing: it asks for no such
// tools, for what is no single word, or for too many.
func (q Query) begunTools(ctx context.Context, db *sql.DB) ([]string, error) {
	prefix, ok := strings.CutSuffix(q.Tool, "*")
	if !ok || prefix == "" || len(prefix) > maxWord {
		return nil, nil
	}
	for _, r := range prefix {
		if r >= utf8.RuneSelf || !isOfWord(r) {
			return nil, nil
		}
	}
	return spelled(ctx, db, prefix)
}

// guess answers a query as if it did not ask for beginnings of words, which every call may
// have, as the first letters of its id. It is right if all calls of the page have them, by what is known
// beside their arguments.
func (q Query) guess(ctx context.Context, db *sql.DB, first, last int64) (Page, bool, error) {
	q.without = begun(q.Text)
	statement, args, findable := q.statement(first, last)
	if !findable || len(q.without) == 0 {
		return Page{}, false, nil
	}
	page, err := q.page(ctx, db, statement, args)
	if err != nil {
		return Page{}, false, err
	}
	for i := range page.Folded {
		if !fitAll(&page.Folded[i], q.without) {
			return Page{}, false, nil
		}
	}
	return page, true, nil
}
