package live

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/broker"
)

// maxOpenings bounds how many calls' tools are remembered, twice.
const maxOpenings = 32 << 10

// openings remembers which tool a call is of, for the calls met last.
type openings struct {
	mu         sync.Mutex
	young, old map[string]string // guarded by mu; no tool means that nobody knows it
}

func newOpenings() *openings { return &openings{young: map[string]string{}} }

func (o *openings) get(call string) (tool string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if tool, ok = o.young[call]; ok {
		return tool, true
	}
	tool, ok = o.old[call]
	return tool, ok
}

func (o *openings) put(call, tool string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.young) >= maxOpenings {
		o.old, o.young = o.young, make(map[string]string, maxOpenings)
	}
	o.young[call] = tool
}

// look reads a frame, and remembers the call that it opens.
func (h *Hub) look(ctx context.Context, f *frame) {
	if !f.read() {
		return
	}
	if f.bad != nil {
		h.metrics.unreadable(ctx) // the broker reports it
		return
	}
	if f.call != "" && f.subject.Tool != "" {
		h.openings.put(f.call, f.subject.Tool)
	}
}

// subject is what reading the frame is permitted on; ok is false when nobody may
// see it, because it cannot be read or the call's tool is not known.
func (h *Hub) subject(ctx context.Context, f *frame) (s broker.Subject, ok bool) {
	h.look(ctx, f)
	if f.bad != nil {
		return s, false
	}
	s = f.subject
	if f.call == "" || s.Tool != "" {
		return s, true
	}
	if s.Tool, ok = h.openings.get(f.call); ok {
		return s, s.Tool != ""
	}
	opened, err := h.resolve(ctx, f.call)
	if err == nil && opened.Domain != s.Domain {
		err = errors.New("the call was opened in another domain")
	}
	if err == nil {
		s.Tool = opened.Tool
		h.openings.put(f.call, s.Tool)
		return s, s.Tool != ""
	}
	if ctx.Err() == nil {
		h.metrics.withheld(ctx)
		h.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "record withheld: its call is not known",
			slog.String("position", f.at.String()), slog.String("call_id", f.call), slog.Any("error", err))
		if errors.Is(err, audit.ErrNotFound) {
			h.openings.put(f.call, "")
		}
	}
	return s, false
}

// resolve asks who knows, again and again while they may not have read that far.
func (h *Hub) resolve(ctx context.Context, call string) (broker.Subject, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Limits.ResolveWait)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait *= 2 {
		s, err := h.cfg.Opening(ctx, call)
		if err == nil || !errors.Is(err, audit.ErrNotFound) {
			return s, err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return s, err
		}
	}
}
