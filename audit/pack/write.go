package pack

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	_ "embed" // verify.py and README.md
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/seal"
)

//go:embed verify.py
var script []byte

//go:embed README.md
var readme string

// Write writes a pack of the history's sealed records. What it finds wrong while it
// copies is an error: a history that does not verify is no evidence.
func Write(ctx context.Context, w io.Writer, history History, o Options) (Manifest, error) {
	z := zip.NewWriter(w)
	m, err := WriteFiles(ctx, func(name string) (io.WriteCloser, error) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: o.Made.UTC()})
		return unclosed{w}, err
	}, history, o)
	if err == nil {
		err = z.Close()
	}
	return m, err
}

// unclosed is a file that ends where the next begins.
type unclosed struct{ io.Writer }

// Close does nothing.
func (unclosed) Close() error { return nil }

// create makes a file of a pack. Files are made one after the other.
type create = func(name string) (io.WriteCloser, error)

// WriteFiles is [Write] for files that go elsewhere than into one ZIP archive. The
// manifest is written last: without it there is no pack.
func WriteFiles(ctx context.Context, to func(name string) (io.WriteCloser, error), history History, o Options) (Manifest, error) {
	p := plan{history: history, options: o, parts: map[string]*Part{}}
	if err := p.make(ctx); err != nil {
		return Manifest{}, fmt.Errorf("plan evidence: %w", err)
	}
	m := Manifest{
		Format: Format, Tenant: p.tenant, Made: o.Made.UTC(), Since: o.Since, Until: o.Until,
		Keys: append([]string{}, p.keys...), Payloads: o.Payloads, Logs: p.ordered(),
	}
	if len(m.Logs) == 0 {
		return Manifest{}, errors.New("plan evidence: nothing of this is sealed: there is nothing to prove")
	}
	if err := writePack(ctx, to, history, m, o); err != nil {
		return Manifest{}, fmt.Errorf("write evidence: %w", err)
	}
	return m, nil
}

// ordered puts the broker's own logs first, and the checkpoints last.
func (p *plan) ordered() []Part {
	parts := []Part{}
	for _, part := range p.parts {
		parts = append(parts, *part)
	}
	rank := func(log string) int {
		switch {
		case log == seal.CheckpointsLog:
			return 2
		case strings.HasPrefix(log, audit.OwnDomain+"/"):
			return 0
		default:
			return 1
		}
	}
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Or(rank(a.Log)-rank(b.Log), strings.Compare(a.Log, b.Log)) })
	return parts
}

func writePack(ctx context.Context, z create, history History, m Manifest, o Options) error {
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	text := o.Readme
	if !o.Bare {
		text += readme
	}
	text = strings.ReplaceAll(text, "{key}", cmp.Or(strings.Join(m.Keys, " "), "KEY"))
	files := []File{{readmeName, []byte(text)}}
	if !o.Bare {
		files = append(files, File{scriptName, script})
	}
	for _, f := range append(files, o.Extra...) {
		if err := writeText(z, f); err != nil {
			return err
		}
	}
	for _, part := range m.Logs {
		if err := writeFile(z, recordsName(part.Log), func(w io.Writer) error { return copyRecords(ctx, w, history, part) }); err != nil {
			return err
		}
		if part.Log == seal.CheckpointsLog {
			continue
		}
		if err := writeFile(z, payloadsName(part.Log), func(w io.Writer) error { return copyPayloads(ctx, w, history, part, o.Payloads) }); err != nil {
			return err
		}
	}
	return writeText(z, File{manifestName, append(manifest, '\n')})
}

func writeText(z create, f File) error {
	return writeFile(z, f.Name, func(w io.Writer) error { _, err := w.Write(f.Body); return err })
}

func writeFile(z create, name string, write func(io.Writer) error) error {
	w, err := z(name)
	if err == nil {
		err = end(w, write(w))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// end ends a file. One that could not be written to its end is abandoned, if that can be.
func end(w io.WriteCloser, err error) error {
	if a, ok := w.(interface{ Abandon() }); ok && err != nil {
		a.Abandon()
		return err
	}
	return errors.Join(err, w.Close())
}

func copyRecords(ctx context.Context, w io.Writer, history History, part Part) error {
	for i := part.From; i < part.To; i++ {
		r, err := history.Record(ctx, audit.Position{Log: part.Log, Index: i})
		if err != nil {
			return err
		}
		if bytes.IndexByte(r.Stored, '\n') >= 0 {
			return fmt.Errorf("%s is not what a broker writes: it has a line break", r.Position)
		}
		if _, err := w.Write(append(slices.Clip(r.Stored), '\n')); err != nil {
			return err
		}
	}
	return nil
}

func copyPayloads(ctx context.Context, w io.Writer, history History, part Part, all bool) error {
	encoder := json.NewEncoder(w)
	for i := part.From; i < part.To; i++ {
		at := audit.Position{Log: part.Log, Index: i}
		for _, name := range payloadNames(all) {
			p, err := history.Payload(ctx, at, name)
			line := payloadLine{Index: i, Name: name, MediaType: p.MediaType, Salt: p.Salt, Body: p.Body}
			switch {
			case errors.Is(err, audit.ErrNotFound):
				continue
			case errors.Is(err, audit.ErrErased):
				line.Erased = true
			case err != nil:
				return err
			}
			if err := encoder.Encode(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// payloadNames are the payloads that a pack takes, in order.
func payloadNames(all bool) []string {
	if all {
		return []string{audit.PayloadArguments, audit.PayloadDefinition, audit.PayloadJustification, audit.PayloadOutput, audit.PayloadPolicy}
	}
	return []string{audit.PayloadDefinition, audit.PayloadPolicy}
}
