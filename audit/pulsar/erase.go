package pulsar

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/deedbroker/deed/audit"
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

// purgePoll is how often Pulsar is asked whether it is done.
const purgePoll = 100 * time.Millisecond

// purge makes Pulsar drop every message of the topic keys but the last of each key: it
// compacts the topic, begins a new ledger, and drops the old ones.
func (k *keyring) purge(ctx context.Context) error {
	admin, path := k.log.admin, k.place.path()
	if err := admin.do(ctx, http.MethodPut, path+"/unload", nil); err != nil {
		return fmt.Errorf("unload %s: %w", k.place.name, err)
	}
	if err := k.compact(ctx, admin, path); err != nil {
		return fmt.Errorf("compact %s: %w", k.place.name, err)
	}
	if err := admin.do(ctx, http.MethodPut, path+"/unload", nil); err != nil {
		return fmt.Errorf("unload %s: %w", k.place.name, err)
	}
	if err := admin.do(ctx, http.MethodPost, path+"/trim", nil); err != nil {
		return fmt.Errorf("trim %s: %w", k.place.name, err)
	}
	return nil
}

func (k *keyring) compact(ctx context.Context, a *admin, path string) error {
	if err := a.do(ctx, http.MethodPut, path+"/compaction", nil); err != nil {
		return err
	}
	for {
		var s struct {
			Status    string `json:"status"`
			LastError string `json:"lastError"`
		}
		if err := a.do(ctx, http.MethodGet, path+"/compaction", &s); err != nil {
			return err
		}
		switch s.Status {
		case "SUCCESS":
			return nil
		case "ERROR":
			return fmt.Errorf("%w: %.200q", audit.ErrUnavailable, s.LastError)
		}
		select {
		case <-time.After(purgePoll):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", audit.ErrUnavailable, ctx.Err())
		}
	}
}
