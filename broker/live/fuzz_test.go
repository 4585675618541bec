package live

import (
	"net/url"
	"testing"
)

func FuzzStartOf(f *testing.F) {
	for _, seed := range []string{"", "cursor=", "cursor=start", "cursor=e1z", "cursor=a&cursor=b", "cursor=%zz", "x=1", "cursor=%00", "cursor=a;b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		from, live, err := startOf(query)
		if err != nil {
			if from != "" || live {
				t.Errorf("%q: an error with %q, %v", query, from, live)
			}
			return
		}
		if len(from) > maxCursor {
			t.Errorf("%q: a cursor of %d bytes", query, len(from))
		}
		if live && from != "" {
			t.Errorf("%q: live, and from %q", query, from)
		}
		again, liveAgain, err := startOf("cursor=" + url.QueryEscape(named(from)))
		if !live && (again != from || liveAgain || err != nil) {
			t.Errorf("%q does not come back: %q, %v, %v", from, again, liveAgain, err)
		}
	})
}
