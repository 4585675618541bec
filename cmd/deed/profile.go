package main

import (
	"errors"
	"os"
	"runtime/pprof"
)

// profiled runs f, and writes a CPU profile of it to the file at path, if one is given.
func profiled(path string, f func() error) error {
	if path == "" {
		return f()
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // whoever starts the broker chose it
	if err != nil {
		return usage("cpu profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(err, file.Close())
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, file.Close())
}
