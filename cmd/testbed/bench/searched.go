package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// searched makes a history, or takes an earlier run's, searches it and verifies it.
func (o *options) searched(ctx context.Context, stdout, stderr io.Writer) (err error) {
	dir := o.reuse
	if dir == "" {
		if dir, err = os.MkdirTemp(o.dir, "deed-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, o.tidy(dir, stderr)) }()
	}
	if o.calls == 0 {
		o.calls = pastCalls
	}
	s := searchReport{Go: runtime.Version(), CPUs: runtime.NumCPU(), CallsMade: int64(o.calls)}
	if err := o.searchIn(ctx, dir, &s, stderr); err != nil {
		return err
	}
	if o.proof {
		if s.Proof, err = prove(ctx, dir); err != nil {
			return fmt.Errorf("verify the history: %w", err)
		}
	}
	s.sum()
	if o.json {
		return json.NewEncoder(stdout).Encode(s)
	}
	return s.print(stdout, o.proof)
}

// searchIn has a broker serve the history in dir, and searches it.
func (o *options) searchIn(ctx context.Context, dir string, s *searchReport, stderr io.Writer) (err error) {
	p, err := o.openPast(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if o.reuse == "" {
		if err := p.write(ctx, stderr); err != nil {
			return fmt.Errorf("make the history: %w", err)
		}
	}
	if _, err := settled(ctx, p.subject, 0); err != nil { // an index that was removed is built again
		return err
	}
	if s.Load, err = loadAverage(); err != nil {
		return err
	}
	if s.Searches, err = p.search(ctx); err != nil {
		return err
	}
	for name, bytes := range map[string]*int64{"log.db": &s.LogBytes, "index.db": &s.IndexBytes} {
		if *bytes, err = sizeOf(filepath.Join(dir, "data", name)); err != nil {
			return err
		}
	}
	return nil
}

// sizeOf is that of a database, with what it has not moved into its file yet.
func sizeOf(path string) (size int64, err error) {
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(path + suffix)
		switch {
		case err == nil:
			size += info.Size()
		case !errors.Is(err, fs.ErrNotExist):
			return 0, err
		}
	}
	return size, nil
}

// proof is what deed verify said of the history, and took.
type proof struct {
	Records    int64   `json:"records"`
	Statements int64   `json:"statements"`
	Findings   int     `json:"findings"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"`
	RSSBytes   int64   `json:"rss_bytes"`
}

// prove runs deed verify on the history, when nobody writes to it any more.
func prove(ctx context.Context, dir string) (proof, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "deed"), "verify", filepath.Join(dir, "data"), "--json") //nolint:gosec // built by this program
	var said, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaint
	begun := time.Now()
	runErr := cmd.Run()
	took := time.Since(begun)
	var report struct {
		Records    int64 `json:"records"`
		Statements int64 `json:"statements"`
		Findings   []any `json:"findings"`
	}
	if err := json.Unmarshal(said.Bytes(), &report); err != nil {
		return proof{}, errors.Join(runErr, fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String())))
	}
	p := proof{Records: report.Records, Statements: report.Statements, Findings: len(report.Findings), Seconds: took.Seconds()}
	p.CPUSeconds = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if used, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.RSSBytes = used.Maxrss << 10
	}
	return p, nil
}
