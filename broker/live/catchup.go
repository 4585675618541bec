package live

import (
	"errors"
	"log/slog"

	"github.com/deedbroker/deed/audit"
)

// catchUp reads the log from the viewer's cursor until the tail goes on from where
// it is, and returns the number of the last record that it has seen there.
//
// A read ends at the end of the log, which the follower may not have reached yet,
// or may have left far behind meanwhile. In either case there is more to read soon.
func (v *viewer) catchUp() (uint64, error) {
	caughtUp := false
	for {
		bell := v.hub.tail.wait()
		read, err := v.readOn()
		if err != nil {
			return 0, err
		}
		if !caughtUp {
			caughtUp = true
			if err := v.sendCursor("caught_up"); err != nil {
				return 0, err
			}
		}
		if n, ok := v.hub.tail.find(v.at); ok {
			return n, nil
		}
		if read > 0 {
			continue
		}
		if err := v.idle(bell); err != nil {
			return 0, err
		}
	}
}

// readOn shows what the log holds now, and returns how many records that were.
func (v *viewer) readOn() (int, error) {
	read := 0
	v.conn.hold()
	for rec, err := range v.hub.cfg.Log.Read(v.ctx, v.at) {
		if err != nil {
			return read, v.unread(err)
		}
		read++
		if err := v.show(newFrame(rec)); err != nil {
			return read, err
		}
		if read%batchFrames == 0 {
			if err := errors.Join(v.conn.release(), v.tend()); err != nil {
				return read, err
			}
			v.conn.hold()
		}
	}
	return read, errors.Join(v.conn.release(), v.tend())
}

// unread turns an error of the log into an ending.
func (v *viewer) unread(err error) error {
	switch {
	case v.ctx.Err() != nil:
		return v.ctx.Err()
	case errors.Is(err, audit.ErrNotFound):
		return errBadCursor
	}
	v.hub.cfg.Logger.LogAttrs(v.ctx, slog.LevelError, "log cannot be read for a viewer", slog.Any("error", err))
	return errTrouble
}
