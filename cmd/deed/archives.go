package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/audit/archive"
	"github.com/deedbroker/deed/audit/archive/place"
	"github.com/deedbroker/deed/audit/archive/s3"
	"github.com/deedbroker/deed/audit/verify"
)

// archivesSource are archives to be read together.
type archivesSource struct {
	at     placeFlags
	places []string
}

func (a *archivesSource) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&a.places, "archive", nil, "a `place` with an archive, or a directory that has several; may be repeated")
	a.at.flags(c)
}

// open opens all of them. Closing closes them.
func (a *archivesSource) open(ctx context.Context, e *environment) (kept []archive.Kept, closing closers, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closing.Close())
		}
	}()
	for _, at := range a.places {
		for _, one := range archivesIn(at) {
			store, err := a.at.store(e, one)
			if err != nil {
				return nil, closing, err
			}
			p, err := openPack(ctx, store, one)
			if err != nil {
				return nil, closing, err
			}
			kept, closing = append(kept, archive.Kept{Pack: p, Place: one}), append(closing, p)
		}
	}
	return kept, closing, nil
}

// archivesIn are the archives in a directory that has several; else the place itself.
func archivesIn(at string) []string {
	if s3.IsURL(at) || isArchive(at) {
		return []string{at}
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return []string{at} // opening it tells what is wrong
	}
	var found []string
	for _, entry := range entries {
		if one := place.Under(at, entry.Name()); entry.IsDir() && isArchive(one) {
			found = append(found, filepath.Clean(one))
		}
	}
	if len(found) == 0 {
		return []string{at}
	}
	slices.Sort(found)
	return found
}

// verifyJoined verifies archives and what is left of their history together.
func (e *environment) verifyJoined(ctx context.Context, from source, archives archivesSource, options verify.Options) error {
	kept, closing, err := archives.open(ctx, e)
	if err != nil {
		return err
	}
	defer func() { _ = closing.Close() }() // they were only read
	done := e.showProgress(&options)
	var report *verify.Report
	if live, ok := from.unwrap().(archive.Live); ok {
		report, err = archive.VerifyJoined(ctx, live, kept, options)
	} else {
		report, err = archive.VerifyMoved(ctx, from.unwrap(), kept, options)
	}
	done()
	if errors.Is(err, archive.ErrNotMoved) {
		return usage("archives are joined to a data directory, or to a log that goes on from another: %s is neither", plain(from.path))
	}
	if err != nil {
		return err
	}
	return e.conclude(from.path, report)
}
