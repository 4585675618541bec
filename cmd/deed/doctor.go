package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/spf13/cobra"

	"github.com/deedbroker/deed/agents/login"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker/config"
)

const (
	checkTimeout = 10 * time.Second // of one check that contacts somebody
	maxClockSkew = 30 * time.Second // before it is worth a warning
)

func newDoctorCommand(env *environment) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what would keep a broker from working",
		Long: `Check the configuration, the policies, the address to listen at, the issuers, the clock, the
data directory and who has its log open. Nothing is changed. The exit code is 1 if
something would keep the broker from working; warnings do not count.`,
		Example: `  deed doctor -c deed.yaml`,
		Args:    cobra.NoArgs,
	}
	configFlag(c, &path)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		d := &doctor{checks: []check{}}
		d.examine(cmd.Context(), path)
		if env.json {
			if err := env.printJSON(map[string]any{"ok": !d.failed(), "checks": d.checks}); err != nil {
				return err
			}
		} else {
			t := newTable(env.stdout)
			for _, x := range d.checks {
				t.row(x.Status, plain(x.Name), plain(x.Detail))
			}
			t.flush()
		}
		if d.failed() {
			return silent(exitFailed)
		}
		return nil
	}
	return c
}

// check is one thing that was looked at.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"` // ok, warn or fail
	Detail string `json:"detail"`
}

const (
	statusOK   = "ok"
	statusWarn = "warn"
	statusFail = "fail"
)

type doctor struct{ checks []check }

func (d *doctor) add(name, status, format string, args ...any) {
	d.checks = append(d.checks, check{name, status, fmt.Sprintf(format, args...)})
}

func (d *doctor) failed() bool {
	for _, c := range d.checks {
		if c.Status == statusFail {
			return true
		}
	}
	return false
}

func (d *doctor) examine(ctx context.Context, path string) {
	cfg, err := config.Load(path)
	if err != nil {
		d.add("config", statusFail, "%v", err)
		return
	}
	d.add("config", statusOK, "%s: %d upstreams, %d issuers", path, len(cfg.Upstreams), len(cfg.Issuers))
	d.policies(ctx, cfg)
	running := d.lock(cfg)
	d.listen(ctx, cfg, running)
	d.data(cfg)
	for _, issuer := range cfg.Issuers {
		d.issuer(ctx, issuer.URL)
	}
}

func (d *doctor) policies(ctx context.Context, cfg *config.Config) {
	checked, err := checkPolicies(ctx, cfg, nil)
	switch {
	case err != nil:
		d.add("policies", statusFail, "%v", err)
	case checked.err() != nil:
		d.add("policies", statusFail, "%v", checked.findings.Err())
	case len(checked.findings) > 0:
		d.add("policies", statusWarn, "%d policies, %d findings; see `deed policy check`", checked.policies(), len(checked.findings))
	default:
		d.add("policies", statusOK, "%d policies fit %d tools", checked.policies(), len(checked.tools))
	}
}

// lock tells whether a process has the log open for writing.
func (d *doctor) lock(cfg *config.Config) (running bool) {
	dir, err := logDir(cfg.Data)
	if err != nil {
		d.add("log", statusOK, "there is none yet; the broker makes one in %s", cfg.Data)
		return false
	}
	path := filepath.Join(dir, embedded.LockName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		d.add("log", statusOK, "%s is free", dir)
		return false
	}
	lock := flock.New(path, flock.SetFlag(os.O_RDWR))
	free, err := lock.TryLock()
	switch {
	case err != nil:
		d.add("log", statusFail, "its lock cannot be tried: %v", err)
	case !free:
		d.add("log", statusWarn, "%s is open for writing: a broker is running", dir)
		return true
	default:
		if err := lock.Unlock(); err != nil {
			d.add("log", statusFail, "its lock cannot be given back: %v", err)
			return false
		}
		d.add("log", statusOK, "%s is free", dir)
	}
	return false
}

func (d *doctor) listen(ctx context.Context, cfg *config.Config, running bool) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	switch {
	case err == nil && l.Close() == nil:
		d.add("listen", statusOK, "%s is free", cfg.Listen)
	case running:
		d.add("listen", statusOK, "%s is in use; a broker is running", cfg.Listen)
	default:
		d.add("listen", statusFail, "%s cannot be listened at: %v", cfg.Listen, err)
	}
}

// data looks at the data directory, or at where it would be made.
func (d *doctor) data(cfg *config.Config) {
	info, err := os.Stat(cfg.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.add("data", statusOK, "%s will be made", cfg.Data)
	case err != nil:
		d.add("data", statusFail, "%v", err)
	case !info.IsDir():
		d.add("data", statusFail, "%s is no directory", cfg.Data)
	case info.Mode().Perm()&0o077 != 0:
		d.add("data", statusFail, "%s has mode %#o: others can reach what is in it; chmod 700", cfg.Data, info.Mode().Perm())
	case info.Mode().Perm()&0o300 != 0o300:
		d.add("data", statusFail, "%s has mode %#o: its owner cannot write in it; chmod 700", cfg.Data, info.Mode().Perm())
	default:
		d.add("data", statusOK, "%s is its owner's alone", cfg.Data)
	}
}

// issuer asks for an issuer's endpoints, and compares its clock with ours.
func (d *doctor) issuer(ctx context.Context, url string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	dated := &dates{base: http.DefaultTransport}
	if _, err := login.Discover(ctx, &http.Client{Transport: dated, Timeout: checkTimeout}, url); err != nil {
		d.add("issuer", statusFail, "%s: %v", url, err)
		return
	}
	d.add("issuer", statusOK, "%s answers", url)
	if dated.skew.IsZero() {
		return
	}
	off := time.Since(dated.skew).Abs().Round(time.Second)
	if off > maxClockSkew {
		d.add("clock", statusWarn, "it differs by %s from that of %s: tokens may seem expired, or not yet valid", off, url)
		return
	}
	d.add("clock", statusOK, "it agrees with that of %s", url)
}

// dates remembers the Date of the last answer.
type dates struct {
	base http.RoundTripper
	skew time.Time
}

// RoundTrip implements [http.RoundTripper].
func (t *dates) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		t.skew = date
	}
	return response, nil
}
