package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
)

// What Deed is meant to cost, beside the bare proxy.
const (
	targetThroughput  = 0.70 // of the proxy's, at targetBusy connections and more
	targetCPUMillis   = 0.35 // a call in the broker's process, at targetBusy connections
	targetAddedMillis = 0.5  // to the median at one connection, beside one fsync
	targetBusy        = 16
)

// situation is what a cell of the table is about.
type situation struct {
	Generation  string `json:"generation"`
	Connections int    `json:"connections"`
	Subject     string `json:"subject"`
}

// cell is what was found in one situation.
type cell struct {
	situation

	Calls          int     `json:"calls"`
	CallsPerSecond float64 `json:"calls_per_second"`
	P50Millis      float64 `json:"p50_ms"`
	P99Millis      float64 `json:"p99_ms"`
	CPUMillis      float64 `json:"cpu_ms_per_call"`
	LaterMillis    float64 `json:"cpu_ms_per_call_later"` // of it, after the last answer
	RSSStart       int64   `json:"rss_start_bytes"`
	RSSEnd         int64   `json:"rss_end_bytes"`
	// The ratios are to the bare proxy in the same situation; 0 without one.
	Throughput float64 `json:"throughput_ratio"`
	CPU        float64 `json:"cpu_ratio"`
}

// verdict is whether Deed meets one target.
type verdict struct {
	Generation  string  `json:"generation"`
	Connections int     `json:"connections"`
	What        string  `json:"what"`
	Got         float64 `json:"got"`
	Target      float64 `json:"target"`
	Met         bool    `json:"met"`
}

type report struct {
	Go          string    `json:"go"`
	CPUs        int       `json:"cpus"`
	FsyncMillis float64   `json:"fsync_ms"`
	Load        float64   `json:"load_average"` // of the machine, before
	Cells       []cell    `json:"cells"`
	Verdicts    []verdict `json:"verdicts"`
}

func newReport() *report { return &report{Go: runtime.Version(), CPUs: runtime.NumCPU()} }

func (t *total) cell(at situation) cell {
	slices.Sort(t.latencies)
	return cell{
		situation: at, Calls: t.calls,
		CallsPerSecond: float64(t.calls) / t.elapsed.Seconds(),
		P50Millis:      millis(percentile(t.latencies, 50)),
		P99Millis:      millis(percentile(t.latencies, 99)),
		CPUMillis:      millis(t.cpu) / float64(max(t.calls, 1)),
		LaterMillis:    millis(t.later) / float64(max(t.calls, 1)),
		RSSStart:       t.rssStart, RSSEnd: t.rssEnd,
	}
}

// find is the cell of a subject in the situation of another; nil if there is none.
func (r *report) find(at situation, subject string) *cell {
	at.Subject = subject
	i := slices.IndexFunc(r.Cells, func(c cell) bool { return c.situation == at })
	if i < 0 {
		return nil
	}
	return &r.Cells[i]
}

// compareTo fills in the ratios.
func (r *report) compareTo(subject string) {
	for i := range r.Cells {
		c := &r.Cells[i]
		base := r.find(c.situation, subject)
		if base == nil {
			continue
		}
		c.Throughput = ratio(c.CallsPerSecond, base.CallsPerSecond)
		c.CPU = ratio(c.CPUMillis, base.CPUMillis)
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// judge compares Deed with its targets.
func (r *report) judge() {
	for _, c := range r.Cells {
		base := r.find(c.situation, baseline)
		if c.Subject != subjectDeed || base == nil {
			continue
		}
		add := func(what string, got, target float64, met bool) {
			r.Verdicts = append(r.Verdicts, verdict{c.Generation, c.Connections, what, got, target, met})
		}
		if c.Connections >= targetBusy {
			add("throughput, of the proxy's", c.Throughput, targetThroughput, c.Throughput >= targetThroughput)
		}
		if c.Connections == targetBusy {
			add("CPU a call, ms", c.CPUMillis, targetCPUMillis, c.CPUMillis <= targetCPUMillis)
		}
		if c.Connections == 1 {
			added, target := c.P50Millis-base.P50Millis, r.FsyncMillis+targetAddedMillis
			add("added p50, ms", added, target, added <= target)
		}
	}
}

func (r *report) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := &printer{w: table}
	p.line("protocol\tconnections\tsubject\tcalls\tcalls/s\tp50 ms\tp99 ms\tCPU ms/call\tof it later\tRSS MiB\tthroughput\tCPU\t")
	for _, c := range r.Cells {
		p.line("%s\t%d\t%s\t%d\t%.0f\t%.2f\t%.2f\t%.3f\t%.3f\t%d → %d\t%.2f×\t%.2f×\t", c.Generation, c.Connections, c.Subject, c.Calls,
			c.CallsPerSecond, c.P50Millis, c.P99Millis, c.CPUMillis, c.LaterMillis, c.RSSStart>>20, c.RSSEnd>>20, c.Throughput, c.CPU)
	}
	if p.err == nil {
		p.err = table.Flush()
	}
	p.w = w
	p.line("\n%s, %d CPUs, load average %.1f before; fsync %.2f ms; × is relative to %s; later: CPU after the last answer", r.Go, r.CPUs, r.Load, r.FsyncMillis, baseline)
	for _, v := range r.Verdicts {
		word := "met"
		if !v.Met {
			word = "MISSED"
		}
		p.line("%-6s %s at %d: %s is %.2f, target %.2f", word, v.Generation, v.Connections, v.What, v.Got, v.Target)
	}
	return p.err
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
