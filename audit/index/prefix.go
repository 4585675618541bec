package index

import (
	"context"
	"database/sql"
	"errors"
	"strings"
)

// maxSpelled is how many words a beginning may stand for to be searched for by these: each
// is looked up as such, the newest calls first. For more of them the full text gathers all
// calls that have any before it finds the newest.
const maxSpelled = 64

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
