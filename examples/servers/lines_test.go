package servers_test

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"sync"
)

// lines are those that a process has written so far.
type lines struct {
	mu   sync.Mutex
	said []string // guarded by mu
}

func (l *lines) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		l.mu.Lock()
		l.said = append(l.said, scanner.Text())
		l.mu.Unlock()
	}
}

// find returns the first line that has all of the words, or "".
func (l *lines) find(words ...string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.said, func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
	if at < 0 {
		return ""
	}
	return l.said[at]
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.said, "\n")
}
