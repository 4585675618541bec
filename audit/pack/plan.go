package pack

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/verify"
)

// History is what a pack is made from; the embedded log's Reader is one.
type History interface {
	verify.Source
	verify.Hashed
}

// retained is a history from which retention removes the oldest records.
type retained interface {
	// Oldest is the index of the first record of a log that is left.
	Oldest(ctx context.Context, log string) (int64, error)
}

const controlLog = audit.OwnDomain + "/" + audit.TopicControl

// plan decides which records a pack takes.
type plan struct {
	history History
	options Options
	parts   map[string]*Part
	keys    []string
	tenant  string
}

// checkpoint is one of the checkpoints' log.
type checkpoint struct {
	log  string
	size int64
}

func (p *plan) make(ctx context.Context) error {
	sizes, err := p.history.Sizes(ctx)
	if err != nil {
		return err
	}
	for log, size := range sizes {
		domain, _, _ := strings.Cut(log, "/")
		if log == seal.CheckpointsLog || domain != audit.OwnDomain && len(p.options.Domains) > 0 && !slices.Contains(p.options.Domains, domain) {
			continue
		}
		part := &Part{Log: log, To: size}
		if h, ok := p.history.(retained); ok {
			if part.From, err = h.Oldest(ctx, log); err != nil {
				return err
			}
		}
		p.parts[log] = part
	}
	if !p.options.Since.IsZero() || !p.options.Until.IsZero() {
		if err := p.period(ctx); err != nil {
			return err
		}
	}
	if err := p.sealed(ctx, sizes[seal.CheckpointsLog]); err != nil {
		return err
	}
	for _, log := range slices.Sorted(maps.Keys(p.parts)) {
		part := p.parts[log]
		if part.To <= part.From {
			delete(p.parts, log)
			continue
		}
		if log != seal.CheckpointsLog {
			if part.Before, err = p.history.Hashes(ctx, log).ReadHashes(seal.FrontierIndexes(part.From)); err != nil {
				return err
			}
		}
	}
	return p.readKeys(ctx)
}

// period finds the records of the time asked for. A log begins with the opening of
// the first call that was open then; the control log is taken from its beginning.
func (p *plan) period(ctx context.Context) error {
	begun := map[string]bool{}
	open := map[string]map[string]int64{} // by log: where calls were opened that are open
	for _, part := range p.parts {
		part.To = 0
		open[part.Log] = map[string]int64{}
	}
	for r, err := range p.history.Read(ctx, "") {
		if err != nil {
			return err
		}
		part := p.parts[r.Position.Log]
		if part == nil {
			continue
		}
		e, err := r.Event()
		if err != nil {
			return fmt.Errorf("%s: %w", r.Position, err)
		}
		if !p.options.Until.IsZero() && !e.Time.Before(p.options.Until) {
			continue
		}
		part.To = r.Position.Index + 1
		calls := open[part.Log]
		if !begun[part.Log] && !e.Time.Before(p.options.Since) {
			begun[part.Log] = true
			part.From = r.Position.Index
			for _, at := range calls {
				part.From = min(part.From, at)
			}
		}
		switch {
		case e.Type == audit.CallIntent:
			calls[e.Subject] = r.Position.Index
		case e.Type.Closes():
			delete(calls, e.Subject)
		}
	}
	for _, part := range p.parts {
		switch {
		case part.Log == controlLog:
			part.From = 0
		case !begun[part.Log]:
			part.To = 0 // nothing of the period
		}
	}
	return nil
}

// sealed ends every log where the last checkpoint that is taken ends it.
func (p *plan) sealed(ctx context.Context, size int64) error {
	wanted := map[string]int64{}
	for log, part := range p.parts {
		wanted[log] = part.To
		part.To = part.From
	}
	checkpoints := &Part{Log: seal.CheckpointsLog, From: -1}
	for i := range size {
		c, ok, err := p.checkpoint(ctx, i)
		if err != nil {
			return err
		}
		part := p.parts[c.log]
		if !ok || part == nil || c.size <= part.From || part.To >= wanted[c.log] {
			continue // of nothing that is taken, or of more
		}
		if checkpoints.From < 0 {
			checkpoints.From = i
		}
		part.To = c.size
		checkpoints.To = i + 1
	}
	if checkpoints.From >= 0 {
		p.parts[seal.CheckpointsLog] = checkpoints
	}
	// A checkpoint that is passed over for the one log is taken for another.
	for i := max(0, checkpoints.From); i < checkpoints.To; i++ {
		if c, ok, err := p.checkpoint(ctx, i); err != nil {
			return err
		} else if part := p.parts[c.log]; ok && part != nil {
			part.To = max(part.To, c.size)
		}
	}
	return nil
}

func (p *plan) checkpoint(ctx context.Context, i int64) (checkpoint, bool, error) {
	r, err := p.history.Record(ctx, audit.Position{Log: seal.CheckpointsLog, Index: i})
	if err != nil {
		return checkpoint{}, false, err
	}
	e, err := r.Event()
	if err != nil || e.Type != audit.TreeSigned {
		return checkpoint{}, false, err
	}
	c, err := audit.DataOf[audit.Checkpoint](e)
	return checkpoint{log: c.Log, size: c.Size}, err == nil, err
}

// readKeys lists the keys that the control log names.
func (p *plan) readKeys(ctx context.Context) error {
	control := p.parts[controlLog]
	if control == nil {
		return nil
	}
	add := func(key string) {
		if !slices.Contains(p.keys, key) {
			p.keys = append(p.keys, key)
		}
	}
	for i := range control.To {
		r, err := p.history.Record(ctx, audit.Position{Log: controlLog, Index: i})
		if err != nil {
			return err
		}
		e, err := r.Event()
		if err != nil {
			return fmt.Errorf("%s: %w", r.Position, err)
		}
		p.tenant = e.Tenant
		switch e.Type {
		case audit.ReplicaStarted:
			s, err := audit.DataOf[audit.Started](e)
			if err != nil {
				return err
			}
			add(s.Key)
		case audit.KeyRotated:
			k, err := audit.DataOf[audit.Rotation](e)
			if err != nil {
				return err
			}
			add(k.New)
		default:
		}
	}
	return nil
}

// Options say what goes into a pack.
type Options struct {
	Since, Until time.Time // zero: from the beginning, to the end
	Domains      []string  // none: all. The broker's own is always there
	Payloads     bool      // arguments and results too; policies and definitions are always there
	Made         time.Time
	// Extra are files for the auditor to read; their names must not be those of the pack.
	Extra []File
	// Readme is put before what the pack says of itself.
	Readme string
	Bare   bool // Readme is all that it says, and no script comes with it
}

// File is a file of a pack that proves nothing.
type File struct {
	Name string
	Body []byte
}
