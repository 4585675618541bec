// Package parquet writes calls as an Apache Parquet file, for warehouses.
package parquet

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/deedbroker/deed/audit/export"
)

// rowsPerGroup bounds what is in memory before it is written.
const rowsPerGroup = 50_000

type format struct {
	w       *parquet.GenericWriter[export.Row]
	pending int
}

// New writes one file of [export.Row]s, compressed by Zstandard.
func New(w io.Writer) export.Format {
	return &format{w: parquet.NewGenericWriter[export.Row](w, parquet.Compression(&parquet.Zstd))}
}

// Call is part of [export.Format].
func (f *format) Call(e *export.Entry) error {
	_, err := f.w.Write([]export.Row{export.RowOf(e)})
	if f.pending++; err == nil && f.pending == rowsPerGroup {
		f.pending = 0
		err = f.w.Flush()
	}
	if err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// Close is part of [export.Format].
func (f *format) Close() error {
	if err := f.w.Close(); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}
