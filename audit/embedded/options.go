package embedded

import (
	"errors"
	"fmt"

	"github.com/deedbroker/deed/audit"
)

// Defaults of [Options].
const (
	// DefaultMaxPayloadBytes bounds the body of one payload.
	DefaultMaxPayloadBytes = 8 << 20
	// DefaultReserveBytes is how much of the disk is kept back for closing calls.
	DefaultReserveBytes = 16 << 20
)

// Options say how a log is kept. The zero value means the defaults.
type Options struct {
	// MaxPayloadBytes bounds the body of one payload; larger ones are refused
	// with [audit.ErrTooLarge]. Zero means DefaultMaxPayloadBytes.
	MaxPayloadBytes int64

	// ReserveBytes is the size of the reserve file. Zero means DefaultReserveBytes.
	ReserveBytes int64

	// MaxFileBytes is a quota on the log's file, write-ahead log not counted. The
	// last ReserveBytes of it are kept for closing calls, as on a full disk. Zero
	// means that only the disk bounds the log.
	MaxFileBytes int64
}

func (o Options) withDefaults() (Options, error) {
	if o.MaxPayloadBytes == 0 {
		o.MaxPayloadBytes = DefaultMaxPayloadBytes
	}
	if o.ReserveBytes == 0 {
		o.ReserveBytes = DefaultReserveBytes
	}
	switch {
	case o.MaxPayloadBytes < 0, o.MaxPayloadBytes > 1<<29:
		return o, fmt.Errorf("payload limit of %d bytes: want 1 byte to 512 MiB", o.MaxPayloadBytes)
	case o.ReserveBytes < audit.MaxEventBytes:
		return o, fmt.Errorf("reserve of %d bytes: want at least the size of an event, %d", o.ReserveBytes, audit.MaxEventBytes)
	case o.MaxFileBytes < 0:
		return o, errors.New("file quota is negative")
	case o.MaxFileBytes > 0 && o.MaxFileBytes < 2*o.ReserveBytes:
		return o, fmt.Errorf("file quota of %d bytes: want at least twice the reserve of %d", o.MaxFileBytes, o.ReserveBytes)
	}
	return o, nil
}
