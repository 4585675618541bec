package pack

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/verify"
)

// maxManifest bounds a manifest that is read, in bytes.
const maxManifest = 16 << 20

// Pack is an open evidence pack. It is read by one goroutine at a time, forwards:
// going back in a log starts it again.
type Pack struct {
	files    Files
	manifest Manifest
	parts    map[string]Part
	records  map[string]*lines
	payloads map[string]*payloadLines
}

var (
	_ verify.Source  = (*Pack)(nil)
	_ verify.Partial = (*Pack)(nil)
)

// Files are those of a pack.
type Files interface {
	Open(name string) (io.ReadCloser, error)
	Close() error
}

// zipped are the files of a ZIP archive.
type zipped struct{ *zip.ReadCloser }

// Open opens a file in the archive.
func (z zipped) Open(name string) (io.ReadCloser, error) { return z.ReadCloser.Open(name) }

// Open opens the pack at path. It reads no more than the manifest.
func Open(path string) (*Pack, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("open evidence: %w", err)
	}
	return OpenFiles(zipped{z})
}

// OpenFiles is [Open] for a pack whose files are elsewhere than in one ZIP archive.
// Closing the pack, or an error, closes them.
func OpenFiles(files Files) (*Pack, error) {
	p := &Pack{files: files, parts: map[string]Part{}, records: map[string]*lines{}, payloads: map[string]*payloadLines{}}
	if err := p.readManifest(); err != nil {
		return nil, fmt.Errorf("open evidence: %w", errors.Join(err, files.Close()))
	}
	return p, nil
}

func (p *Pack) readManifest() error {
	text, err := p.file(manifestName, maxManifest)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &p.manifest); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	if err := p.manifest.valid(); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	for _, part := range p.manifest.Logs {
		p.parts[part.Log] = part
	}
	return nil
}

// file reads a whole file of the pack.
func (p *Pack) file(name string, limit int64) (_ []byte, err error) {
	f, err := p.files.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return text, err
}

// Manifest is what the pack says of itself.
func (p *Pack) Manifest() Manifest { return p.manifest }

// Close ends all reading.
func (p *Pack) Close() error {
	var errs []error
	for _, l := range p.records {
		errs = append(errs, l.close())
	}
	for _, l := range p.payloads {
		errs = append(errs, l.close())
	}
	if err := errors.Join(append(errs, p.files.Close())...); err != nil {
		return fmt.Errorf("close evidence: %w", err)
	}
	return nil
}

// Part is part of [verify.Partial].
func (p *Pack) Part(log string) (int64, []tlog.Hash, bool) {
	part, ok := p.parts[log]
	return part.From, part.Before, ok
}

// Sizes is part of [verify.Source].
func (p *Pack) Sizes(context.Context) (map[string]int64, error) {
	sizes := map[string]int64{}
	for _, part := range p.manifest.Logs {
		sizes[part.Log] = part.To
	}
	return sizes, nil
}

// Read is part of [verify.Source]: log by log.
func (p *Pack) Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error] {
	return func(yield func(audit.Record, error) bool) {
		if from != "" {
			yield(audit.Record{}, errors.New("read evidence: it has no cursors"))
			return
		}
		for _, part := range p.manifest.Logs {
			for i := part.From; i < part.To; i++ {
				r, err := p.Record(ctx, audit.Position{Log: part.Log, Index: i})
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// Record is part of [verify.Source].
func (p *Pack) Record(ctx context.Context, at audit.Position) (audit.Record, error) {
	part, ok := p.parts[at.Log]
	if !ok || at.Index < part.From || at.Index >= part.To {
		return audit.Record{}, fmt.Errorf("read %s: %w", at, audit.ErrNotFound)
	}
	l := p.records[at.Log]
	if l == nil {
		l = &lines{open: p.opener(recordsName(at.Log)), limit: maxRecord}
		p.records[at.Log] = l
	}
	stored, err := l.line(ctx, at.Index-part.From)
	if err != nil {
		return audit.Record{}, fmt.Errorf("read %s: %w", at, err)
	}
	return audit.Record{Position: at, Stored: stored}, nil
}

// Payload is part of [audit.Payloads].
func (p *Pack) Payload(ctx context.Context, at audit.Position, name string) (audit.Payload, error) {
	if _, ok := p.parts[at.Log]; !ok {
		return audit.Payload{}, fmt.Errorf("read payload of %s: %w", at, audit.ErrNotFound)
	}
	l := p.payloads[at.Log]
	if l == nil {
		l = &payloadLines{lines: lines{open: p.opener(payloadsName(at.Log)), limit: maxPayload}}
		p.payloads[at.Log] = l
	}
	got, err := l.find(ctx, at.Index, name)
	if errors.Is(err, audit.ErrNotFound) && !p.manifest.Payloads && slices.Contains(payloadNames(true), name) && !slices.Contains(payloadNames(false), name) {
		err = verify.ErrWithheld
	}
	if err != nil {
		return audit.Payload{}, fmt.Errorf("read payload %.64q of %s: %w", name, at, err)
	}
	return got, nil
}

func (p *Pack) opener(name string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return p.files.Open(name) }
}
