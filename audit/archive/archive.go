package archive

import (
	"context"
	_ "embed" // README.md
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/deedbroker/deed/audit/pack"
	"github.com/deedbroker/deed/audit/verify"
)

//go:embed README.md
var readme string

// manifestName is the file that makes an archive one.
const manifestName = "manifest.json"

// Store is where the files of archives are: a directory, or a part of a bucket.
type Store interface {
	// Create makes a file, which is there, durably, once it was closed without an error.
	// Abandon, before that, leaves none.
	Create(ctx context.Context, name string) (File, error)
	// Open opens a file, or returns an error that wraps [fs.ErrNotExist].
	Open(ctx context.Context, name string) (io.ReadCloser, error)
}

// File is a file that is being made.
type File interface {
	io.WriteCloser
	Abandon()
}

// ErrThere says that there is an archive already.
var ErrThere = errors.New("there is an archive already")

// Create makes an archive of what history has, reads it back, and verifies it.
func Create(ctx context.Context, store Store, history pack.History, o pack.Options, v verify.Options) (pack.Manifest, *verify.Report, error) {
	m, report, err := create(ctx, store, history, o, v)
	if err != nil {
		return m, nil, fmt.Errorf("create archive: %w", err)
	}
	return m, report, nil
}

func create(ctx context.Context, store Store, history pack.History, o pack.Options, v verify.Options) (pack.Manifest, *verify.Report, error) {
	f, err := store.Open(ctx, manifestName)
	if err == nil {
		return pack.Manifest{}, nil, errors.Join(ErrThere, f.Close())
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return pack.Manifest{}, nil, err
	}
	o.Payloads, o.Bare, o.Readme = false, true, readme
	m, err := pack.WriteFiles(ctx, func(name string) (io.WriteCloser, error) { return newFile(ctx, store, name) }, history, o)
	if err != nil {
		return m, nil, err
	}
	report, err := Verify(ctx, store, v)
	return m, report, err
}

// Open opens the archive in a store. Its records are not trusted: [Verify] checks them.
func Open(ctx context.Context, store Store) (*pack.Pack, error) {
	p, err := pack.OpenFiles(stored{ctx, store})
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	return p, nil
}

// Verify reads a whole archive and checks it as a history.
func Verify(ctx context.Context, store Store, o verify.Options) (*verify.Report, error) {
	_, report, err := Check(ctx, store, o)
	return report, err
}

// Check is [Verify] that also gives the archive's manifest.
func Check(ctx context.Context, store Store, o verify.Options) (m pack.Manifest, report *verify.Report, err error) {
	p, err := Open(ctx, store)
	if err != nil {
		return m, nil, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	report, err = verify.Verify(ctx, p, o)
	return p.Manifest(), report, err
}

// isCompressed tells by a file's name in the pack how it is stored.
func isCompressed(name string) bool { return strings.HasSuffix(name, ".ndjson") }

const suffix = ".zst"

// stored are the files of an archive, decompressed.
type stored struct {
	ctx   context.Context //nolint:containedctx // of all reading: a pack's files are opened without
	store Store
}

// Open opens a file by its name in the pack.
func (s stored) Open(name string) (io.ReadCloser, error) {
	if !isCompressed(name) {
		return s.store.Open(s.ctx, name)
	}
	f, err := s.store.Open(s.ctx, name+suffix)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxWindow))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &inflated{Decoder: z, from: f}, nil
}

// maxWindow bounds the memory that an archive can make its reader use.
const maxWindow = 64 << 20

// Close closes nothing: each file is closed by itself.
func (stored) Close() error { return nil }

type inflated struct {
	*zstd.Decoder

	from io.Closer
}

// Close ends reading.
func (i *inflated) Close() error {
	i.Decoder.Close()
	return i.from.Close()
}

// newFile makes a file by its name in the pack.
func newFile(ctx context.Context, store Store, name string) (io.WriteCloser, error) {
	if !isCompressed(name) {
		return store.Create(ctx, name)
	}
	f, err := store.Create(ctx, name+suffix)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
	if err != nil {
		f.Abandon()
		return nil, err
	}
	return &deflated{Encoder: z, to: f}, nil
}

type deflated struct {
	*zstd.Encoder

	to File
}

// Abandon leaves no file.
func (d *deflated) Abandon() {
	_ = d.Encoder.Close() // what it still writes is abandoned too
	d.to.Abandon()
}

// Close ends the file; if it cannot be ended well, there is none.
func (d *deflated) Close() error {
	if err := d.Encoder.Close(); err != nil {
		d.to.Abandon()
		return err
	}
	return d.to.Close()
}
