package pulsar

import (
	"context"
	"errors"
	"fmt"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/pulsar/purge"
)

// Erase makes the payload called name of the record at p unreadable for good: its key
// is taken out of what the topic keys says last, and Pulsar is made to forget what it
// said before. Its commitment in the event stands, and [Log.Payload] answers
// [audit.ErrErased] from then on. It needs a role that administers the tenant; with
// another the key is taken out, and the error, which wraps [ErrNotPermitted], says that
// what was said before is still there. Erasing again is harmless, and tries again to
// make Pulsar forget.
func (l *Log) Erase(ctx context.Context, p audit.Position, name string) error {
	if err := l.erase(ctx, p, name); err != nil {
		return fmt.Errorf("erase payload %.*q of %s: %w", audit.MaxPayloadName, name, p, err)
	}
	return nil
}

func (l *Log) erase(ctx context.Context, at audit.Position, name string) error {
	s, of, err := l.sealed(ctx, at, name)
	if err != nil {
		return err
	}
	return l.vaults[of.domain].keys.erase(ctx, s.head)
}

// EraseRecords is [audit.Eraser.EraseRecords], as [Log.Erase] does it: the keys of each
// domain are published again once, and Pulsar is made to forget once.
func (l *Log) EraseRecords(ctx context.Context, records ...audit.Places) error {
	heads := map[*keyring][]payloadHead{}
	for _, places := range records {
		log := places.Log
		for _, i := range places.Indexes {
			all, of, err := l.sealedOf(ctx, audit.Position{Log: log, Index: i})
			if errors.Is(err, audit.ErrNotFound) || errors.Is(err, audit.ErrErased) || errors.Is(err, audit.ErrLost) {
				continue // it has none, or retention was there before
			}
			if err != nil {
				return fmt.Errorf("erase payloads of %s@%d: %w", log, i, err)
			}
			keys := l.vaults[of.domain].keys
			for _, s := range all {
				heads[keys] = append(heads[keys], s.head)
			}
		}
	}
	var errs []error
	for keys, gone := range heads {
		if err := keys.erase(ctx, gone...); err != nil {
			errs = append(errs, fmt.Errorf("erase payloads of %s: %w", keys.place.name, err))
		}
	}
	return errors.Join(errs...)
}

// purge makes Pulsar drop every message of the topic keys but the last of each key.
func (k *keyring) purge(ctx context.Context) error {
	if err := purge.Topic(ctx, k.log.admin.do, k.place.path()); err != nil {
		return fmt.Errorf("purge %s: %w", k.place.name, err)
	}
	return nil
}
