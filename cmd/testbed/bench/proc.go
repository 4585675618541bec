package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cpuTick is the unit of CPU times in /proc: USER_HZ, 100 on every Linux.
const cpuTick = 10 * time.Millisecond

// cpuTime is the time that a process has spent on a CPU, in user and system mode,
// without its children (proc_pid_stat(5), utime and stime).
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	return parseStat(string(text))
}

// ranFor is the same to the nanosecond, of the threads that the process has now (first field of
// /proc/PID/task/TID/schedstat).
func ranFor(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	var sum time.Duration
	for _, thread := range threads {
		text, err := os.ReadFile(thread) //nolint:gosec // of a process that was started here
		if errors.Is(err, os.ErrNotExist) {
			continue // it has ended
		}
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		ran, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

func parseStat(text string) (time.Duration, error) {
	// The second field is the name in parentheses, which may contain anything.
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const user, system = 14 - 3, 15 - 3
	if len(fields) <= system {
		return 0, errors.New("read CPU time: /proc/PID/stat is too short")
	}
	var ticks int64
	for _, field := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * cpuTick, nil
}

// residentBytes is the memory of a process that is in RAM (proc_pid_statm(5)).
func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errors.New("read resident memory: /proc/PID/statm is too short")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read resident memory: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// fsyncMillis is the median time that the disk under dir takes to make a record durable.
func fsyncMillis(dir string) (_ float64, err error) {
	f, err := os.Create(filepath.Join(dir, "fsync")) //nolint:gosec // in the run's own directory
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	record, times := make([]byte, 4096), make([]time.Duration, 101)
	for i := range times {
		if _, err := f.Write(record); err != nil {
			return 0, err
		}
		start := time.Now()
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return millis(percentile(times, 50)), nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// loadAverage is how many tasks ran or waited for a disk during the last minute: what
// the machine does beside the benchmark.
func loadAverage() (float64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, fmt.Errorf("read load average: %w", err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0, fmt.Errorf("read load average: %w", err)
	}
	return load, nil
}
