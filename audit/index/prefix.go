package index

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"unicode/utf8"
)

// maxSpelled is how many words a beginning may stand for to be searched for by these: each
// is looked up as such, the newest calls first. For more of them the full text gathers all
// calls that have any before it finds the newest.
const maxSpelled = 256

// spelled are the words that begin so, if they are few; nil if not.
func spelled(ctx context.Context, db *sql.DB, prefix string) (words []string, err error) {
	prefix = strings.ToLower(prefix) // as the full text keeps the letters that differ in case here
	next, err := db.PrepareContext(ctx, `SELECT term FROM vocabulary WHERE term >= ? LIMIT 1`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, next.Close()) }()
	words = []string{}
	for after := prefix; ; {
		var word string
		switch err := next.QueryRowContext(ctx, after).Scan(&word); {
		case errors.Is(err, sql.ErrNoRows):
			return words, nil
		case err != nil:
			return nil, err
		case !strings.HasPrefix(word, prefix):
			return words, nil
		case len(words) == maxSpelled:
			return nil, nil
		}
		words = append(words, word)
		after = word + "\x01" // the next one: no word has a character before that
	}
}

// spell finds out what the beginnings of words in a text stand for.
func spell(ctx context.Context, db *sql.DB, text string) (map[string][]string, error) {
	all := map[string][]string{}
	for _, t := range match(text) {
		if !t.prefix {
			continue
		}
		for _, mark := range []string{"", argumentMark} {
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

// vague are the beginnings in a text that stand for too many words to be searched for by these.
func (q Query) vague() []term {
	var all []term
	for _, t := range match(q.Text) {
		if !t.prefix {
			continue
		}
		for _, mark := range []string{"", argumentMark} {
			if _, few := q.spelled[mark+t.word]; !few {
				all = append(all, t)
				break
			}
		}
	}
	return all
}

// guess answers a query as if it did not ask for the vague beginnings, which every
// call may have, as the first letters of its id. It is right if all calls of the page have them, by what is known
// beside their arguments.
func (q Query) guess(ctx context.Context, db *sql.DB, vague []term, first, last int64) (Page, bool, error) {
	q.without = vague
	statement, args, findable := q.statement(first, last)
	if !findable {
		return Page{}, false, nil
	}
	page, err := q.page(ctx, db, statement, args)
	if err != nil {
		return Page{}, false, err
	}
	for i := range page.Folded {
		if !fitAll(&page.Folded[i], vague) {
			return Page{}, false, nil
		}
	}
	return page, true, nil
}
