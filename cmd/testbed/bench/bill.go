package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// bill is the CPU time of all who work for a call on this machine. Together they bound
// how many calls a second its CPUs allow, however the calls wait for each other.
type bill struct {
	Subject float64 `json:"subject_ms"` // the broker, or the proxy
	Tool    float64 `json:"tool_ms"`    // its children
	Pulsar  float64 `json:"pulsar_ms"`
	Load    float64 `json:"load_ms"` // this process, which calls
}

func (b bill) total() float64 { return b.Subject + b.Tool + b.Pulsar + b.Load }

// accounts are what the processes have used so far.
type accounts struct{ subject, tool, pulsar, load time.Duration }

// readAccounts reads them; a pid that is zero is nobody's.
func readAccounts(subject, pulsar int) (a accounts, err error) {
	var errs []error
	for pid, into := range map[int]*time.Duration{subject: &a.subject, pulsar: &a.pulsar, os.Getpid(): &a.load} {
		if pid == 0 {
			continue
		}
		used, err := cpuTime(pid)
		*into, errs = used, append(errs, err)
	}
	if subject != 0 {
		children, err := childrenOf(subject)
		errs = append(errs, err)
		for _, pid := range children {
			used, err := cpuTime(pid)
			a.tool, errs = a.tool+used, append(errs, err)
		}
	}
	return a, errors.Join(errs...)
}

// childrenOf are the processes that a process has started, and that run (proc_pid_task(5)).
func childrenOf(pid int) (children []int, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, fmt.Errorf("find child processes: %w", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // in /proc
		if errors.Is(err, fs.ErrNotExist) {
			continue // the thread is gone
		}
		if err != nil {
			return nil, fmt.Errorf("find child processes: %w", err)
		}
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("find child processes: %w", err)
			}
			children = append(children, child)
		}
	}
	return children, nil
}

// since is what was used since before.
func (a accounts) since(before accounts) accounts {
	return accounts{a.subject - before.subject, a.tool - before.tool, a.pulsar - before.pulsar, a.load - before.load}
}

func (a accounts) plus(b accounts) accounts {
	return accounts{a.subject + b.subject, a.tool + b.tool, a.pulsar + b.pulsar, a.load + b.load}
}

func (a accounts) each(calls int) bill {
	n := float64(max(calls, 1))
	return bill{millis(a.subject) / n, millis(a.tool) / n, millis(a.pulsar) / n, millis(a.load) / n}
}
