package seal

import (
	"errors"
	"fmt"
)

// witnessed is the newest checkpoint of a log that witnesses have signed.
type witnessed struct {
	tree   Checkpoint
	note   string
	stored bool // it stands in the log
}

// Leading reports whether this replica is the one that seals.
func (s *Sealer) Leading() bool { return s.leading.Load() }

// Witness takes a checkpoint of this log's key to which witnesses have added their
// signatures. It is stored with the next checkpoint of its log. What the witnesses'
// signatures are worth is for those to say who trust them.
func (s *Sealer) Witness(c Checkpoint, note string) error {
	got, _, err := OpenCheckpoint(note, s.trusted()...)
	if err != nil {
		return fmt.Errorf("take witnessed checkpoint: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch last := s.signed[c.Log].tree; {
	case got != c:
		return errors.New("take witnessed checkpoint: it says something else")
	case c.Size > last.Size:
		return errors.New("take witnessed checkpoint: it was not signed here")
	case c.Size <= s.witnessed[c.Log].tree.Size:
		return nil
	}
	s.witnessed[c.Log] = witnessed{tree: c, note: note}
	return nil
}

// Witnessed is the newest checkpoint of a log that witnesses have signed since this
// replica seals.
func (s *Sealer) Witnessed(log string) (note string, c Checkpoint, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.witnessed[log]
	return w.note, w.tree, ok
}

// pending is what witnesses have signed and is not stored yet. The caller holds mu.
func (s *Sealer) pending(log string) string {
	if w := s.witnessed[log]; !w.stored {
		return w.note
	}
	return ""
}

// stored notes that a witnessed checkpoint stands in the log. The caller holds mu.
func (s *Sealer) stored(log, note string) {
	if w, ok := s.witnessed[log]; ok && note != "" && w.note == note {
		w.stored = true
		s.witnessed[log] = w
	}
}
