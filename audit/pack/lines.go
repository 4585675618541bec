package pack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/deedbroker/deed/audit"
)

// Bounds of one line, in bytes.
const (
	maxRecord  = 2 * audit.MaxEventBytes
	maxPayload = 64 << 20
)

// lines reads a file of lines forwards, and again from its beginning to go back.
type lines struct {
	open  func() (io.ReadCloser, error)
	limit int

	file io.ReadCloser
	in   *bufio.Reader
	next int64  // number of the line that comes next
	last []byte // line next-1
}

// line returns line n, without its end, or an error that wraps [audit.ErrNotFound].
func (l *lines) line(ctx context.Context, n int64) ([]byte, error) {
	if l.file != nil && n == l.next-1 && l.last != nil {
		return l.last, nil
	}
	if l.file == nil || n < l.next {
		if err := l.restart(); err != nil {
			return nil, err
		}
	}
	for l.next <= n {
		if err := l.advance(); err != nil {
			if !errors.Is(err, audit.ErrNotFound) {
				err = errors.Join(err, l.close()) // what cannot be read once cannot be read again
			}
			return nil, err
		}
		if l.next%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return l.last, nil
}

func (l *lines) restart() error {
	if err := l.close(); err != nil {
		return err
	}
	f, err := l.open()
	if err != nil {
		return err
	}
	l.file, l.in, l.next, l.last = f, bufio.NewReaderSize(f, 64<<10), 0, nil
	return nil
}

// advance reads one line. An end without a line break is a line that was cut off.
func (l *lines) advance() error {
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		if len(line)+len(part) > l.limit {
			return fmt.Errorf("line %d is longer than %d bytes", l.next+1, l.limit)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			l.last, l.next = line[:len(line)-1:len(line)-1], l.next+1
			return nil
		case errors.Is(err, io.EOF) && len(line) == 0:
			return fmt.Errorf("line %d: %w", l.next+1, audit.ErrNotFound)
		case errors.Is(err, io.EOF):
			return fmt.Errorf("line %d is cut off", l.next+1)
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

func (l *lines) close() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// payloadLines finds payloads in a file that is ordered by their records.
type payloadLines struct {
	lines
	at      int64
	ahead   payloadLine
	hasMore bool
	of      int64 // the record whose payloads are in found
	found   map[string]payloadLine
}

func (l *payloadLines) find(ctx context.Context, index int64, name string) (audit.Payload, error) {
	if l.found == nil || index < l.of {
		l.at, l.of, l.found = 0, -1, map[string]payloadLine{}
		if err := l.peek(ctx); err != nil {
			return audit.Payload{}, err
		}
	}
	if index > l.of {
		l.of = index
		clear(l.found)
		for l.hasMore && l.ahead.Index <= index {
			if l.ahead.Index == index {
				l.found[l.ahead.Name] = l.ahead
			}
			if err := l.peek(ctx); err != nil {
				return audit.Payload{}, err
			}
		}
	}
	if p, ok := l.found[name]; ok {
		return p.payload()
	}
	return audit.Payload{}, audit.ErrNotFound
}

func (l *payloadLines) peek(ctx context.Context) error {
	text, err := l.line(ctx, l.at)
	if l.hasMore = err == nil; errors.Is(err, audit.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	l.at++
	before := l.ahead
	l.ahead = payloadLine{}
	if err := json.Unmarshal(text, &l.ahead); err != nil {
		return fmt.Errorf("line %d: %w", l.at, err)
	}
	if again, err := json.Marshal(l.ahead); err != nil || !bytes.Equal(again, text) {
		return fmt.Errorf("line %d is not as a pack has it", l.at)
	}
	if l.at > 1 && (before.Index > l.ahead.Index || before.Index == l.ahead.Index && before.Name >= l.ahead.Name) {
		return fmt.Errorf("line %d is out of order", l.at)
	}
	return nil
}
