package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/deedbroker/deed/audit"
)

// DefaultLimit is how many bytes a spool may hold.
const DefaultLimit = 256 << 20

// ErrFull says that the spool holds as much as it may.
var ErrFull = errors.New("spool is full")

// Spool is a directory with a file for each event. It is safe for concurrent use.
type Spool struct {
	dir   string
	limit int64

	mu      sync.Mutex
	entries []entry // guarded by mu: the oldest first
	bytes   int64   // guarded by mu: of all files
	next    int64   // guarded by mu: number of the next file
}

type entry struct {
	name string
	size int64
}

// stored is what stands in a file.
type stored struct {
	Event    audit.Event `json:"event"`
	Payloads []payload   `json:"payloads,omitempty"`
}

type payload struct {
	Name      string `json:"name"`
	MediaType string `json:"mediatype"`
	Salt      []byte `json:"salt"`
	Body      []byte `json:"body"`
}

const (
	suffix   = ".event.json"
	unwhole  = ".new" // of a file that is being written
	dirMode  = 0o700
	fileMode = 0o600
)

// Open opens the spool in dir, which is made if need be. It may hold limit bytes; zero
// means DefaultLimit. What a crash left half-written is removed: nobody was told that
// it was kept.
func Open(dir string, limit int64) (*Spool, error) {
	if limit == 0 {
		limit = DefaultLimit
	}
	s := &Spool{dir: dir, limit: limit}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return s, nil
}

func (s *Spool) open() error {
	if err := os.MkdirAll(s.dir, dirMode); err != nil {
		return err
	}
	files, err := os.ReadDir(s.dir) // in order of their names
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), unwhole) {
			if err := os.Remove(filepath.Join(s.dir, f.Name())); err != nil {
				return err
			}
			continue
		}
		var number int64
		if n, err := fmt.Sscanf(f.Name(), "%d"+suffix, &number); n != 1 || err != nil {
			continue // nothing of ours
		}
		info, err := f.Info()
		if err != nil {
			return err
		}
		s.entries = append(s.entries, entry{f.Name(), info.Size()})
		s.bytes += info.Size()
		s.next = number + 1
	}
	return nil
}

// Put keeps an event and its payloads. They are durable when it returns.
func (s *Spool) Put(e audit.Event) error {
	kept := stored{Event: e}
	for _, p := range e.Payloads {
		kept.Payloads = append(kept.Payloads, payload(p))
	}
	body, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("spool event: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	size := int64(len(body))
	if s.bytes+size > s.limit {
		return fmt.Errorf("spool event: %w: %d bytes of at most %d", ErrFull, s.bytes, s.limit)
	}
	name := fmt.Sprintf("%012d%s", s.next, suffix)
	if err := s.write(name, body); err != nil {
		return fmt.Errorf("spool event: %w", err)
	}
	s.next++
	s.bytes += size
	s.entries = append(s.entries, entry{name, size})
	return nil
}

func (s *Spool) write(name string, body []byte) error {
	path := filepath.Join(s.dir, name)
	f, err := os.OpenFile(path+unwhole, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode) //nolint:gosec // in the operator's own directory
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(body))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+unwhole))
	}
	return errors.Join(os.Rename(path+unwhole, path), s.sync())
}

func (s *Spool) sync() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Len is how many events are kept.
func (s *Spool) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

// Drain gives the events to write, the oldest first, and removes each that it took.
// It ends at the first that write fails for, with its error. One at a time may run.
func (s *Spool) Drain(write func(audit.Event) error) error {
	for {
		name, ok := s.oldest()
		if !ok {
			return nil
		}
		e, err := s.read(name)
		if err != nil {
			return fmt.Errorf("drain spool: %s: %w", name, err)
		}
		if err := write(e); err != nil {
			return err
		}
		if err := s.remove(name); err != nil {
			return fmt.Errorf("drain spool: %w", err)
		}
	}
}

func (s *Spool) oldest() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.entries) == 0 {
		return "", false
	}
	return s.entries[0].name, true
}

func (s *Spool) read(name string) (audit.Event, error) {
	body, err := os.ReadFile(filepath.Join(s.dir, name)) //nolint:gosec // a name that Open or Put made
	if err != nil {
		return audit.Event{}, err
	}
	var kept stored
	if err := json.Unmarshal(body, &kept); err != nil {
		return audit.Event{}, fmt.Errorf("%w: %w", audit.ErrCorrupt, err)
	}
	for _, p := range kept.Payloads {
		kept.Event.Payloads = append(kept.Event.Payloads, audit.Payload(p))
	}
	return kept.Event, nil
}

func (s *Spool) remove(name string) error {
	if err := errors.Join(os.Remove(filepath.Join(s.dir, name)), s.sync()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.entries, func(e entry) bool { return e.name == name })
	s.bytes -= s.entries[i].size
	s.entries = slices.Delete(s.entries, i, i+1)
	return nil
}
