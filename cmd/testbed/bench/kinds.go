package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// kind is a way of standing behind Deed.
type kind struct {
	name     string
	upstream map[string]any // as deed.yaml has it; nil: the stdio server that is there anyway
	tool     string         // by its own name
	fixed    *fixed
	direct   func(ctx context.Context, n int) ([]caller, func() error, error) // n callers of it without Deed, and what ends them all
}

// kindRow is what calls of a kind cost at one number of connections.
type kindRow struct {
	Kind        string  `json:"kind"`
	Connections int     `json:"connections"`
	Direct      float64 `json:"direct_calls_per_second"`
	DirectP50   float64 `json:"direct_p50_ms"`
	Deed        float64 `json:"deed_calls_per_second"`
	DeedP50     float64 `json:"deed_p50_ms"`
	DeedP99     float64 `json:"deed_p99_ms"`
	CPUMillis   float64 `json:"deed_cpu_ms_per_call"`
	Throughput  float64 `json:"throughput_ratio"`
	AddedP50    float64 `json:"added_p50_ms"`

	direct, through total
}

type kindReport struct {
	Go          string     `json:"go"`
	CPUs        int        `json:"cpus"`
	FsyncMillis float64    `json:"fsync_ms"`
	Load        float64    `json:"load_average"`
	Rows        []*kindRow `json:"rows"`
}

// ofKinds calls an upstream of each kind directly and through Deed, in turns.
func (o *options) ofKinds(ctx context.Context, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "deed-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.tidy(dir, stderr)) }()
	servers, err := startChild(ctx, subjectKinds, o.child)
	if err != nil {
		return fmt.Errorf("start the upstreams: %w", err)
	}
	defer func() { err = errors.Join(err, servers.stop()) }()
	shelf := filepath.Join(dir, "shelf")
	kinds, err := o.kindsAt(strings.TrimSuffix(servers.url, "/mcp"), shelf)
	if err != nil {
		return err
	}
	more := map[string]any{}
	for _, k := range kinds {
		if k.upstream != nil {
			maps.Copy(k.upstream, map[string]any{"domain": "bench"})
			more[k.name] = k.upstream
		}
	}
	deed, err := startDeed(ctx, deedConfig{dir: dir, echo: append(slices.Clip(o.child), subjectEcho), more: more, profile: o.profile})
	if err != nil {
		return fmt.Errorf("start deed: %w", err)
	}
	defer func() { err = errors.Join(err, deed.stop()) }()
	r := kindReport{Go: runtime.Version(), CPUs: runtime.NumCPU()}
	if r.Load, err = loadAverage(); err != nil {
		return err
	}
	if r.Rows, err = o.compareKinds(ctx, kinds, deed, stderr); err != nil {
		return err
	}
	if r.FsyncMillis, err = fsyncMillis(dir); err != nil {
		return err
	}
	return r.write(stdout, o.json)
}

// kindsAt are all kinds, with the servers of the child at base, and a directory for files.
func (o *options) kindsAt(base, shelf string) ([]*kind, error) {
	if err := os.MkdirAll(shelf, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(shelf, noteName), []byte(noteText), 0o600); err != nil {
		return nil, err
	}
	note := &fixed{arguments: `{"path":"` + noteName + `"}`, says: noteText}
	mcp := &subject{name: subjectDirect, url: base + "/mcp", tool: toolName}
	file := &subject{name: subjectDirect, url: base + "/mcp", tool: "read_file", fixed: note}
	return []*kind{
		{name: "builtin", upstream: map[string]any{"builtin": "files", "dir": shelf}, tool: "read_file", fixed: note, direct: file.callers},
		{name: upstreamName, tool: toolName, direct: o.pipeCallers},
		{name: "http", upstream: map[string]any{"url": base + "/mcp"}, tool: toolName, direct: mcp.callers},
		{name: "sse", upstream: map[string]any{"url": base + "/sse", "transport": "sse"}, tool: toolName, direct: streamCallers(base)},
		{name: "openapi", upstream: map[string]any{"openapi": base + "/openapi.json"}, tool: toolName, direct: restCallers(base)},
	}, nil
}

// title is how a kind is called in the table.
func (k *kind) title() string {
	return map[string]string{upstreamName: "stdio", "builtin": "built-in", "http": "Streamable HTTP", "sse": "legacy SSE", "openapi": "OpenAPI"}[k.name]
}

// callers are connections to a subject.
func (s *subject) callers(ctx context.Context, n int) ([]caller, func() error, error) {
	var all []caller
	for range n {
		w, err := dial(ctx, s, generations()[1])
		if err != nil {
			return nil, nil, errors.Join(err, closeAll(all))
		}
		all = append(all, w)
	}
	return all, func() error { return closeAll(all) }, nil
}

func closeAll(all []caller) (err error) {
	for _, c := range all {
		err = errors.Join(err, c.close())
	}
	return err
}

func (o *options) compareKinds(ctx context.Context, kinds []*kind, deed *subject, stderr io.Writer) ([]*kindRow, error) {
	var rows []*kindRow
	for round := range o.rounds {
		if _, err := fmt.Fprintf(stderr, "bench: round %d of %d\n", round+1, o.rounds); err != nil {
			return nil, err
		}
		i := 0
		for _, k := range kinds {
			for _, n := range o.connections {
				if round == 0 {
					rows = append(rows, &kindRow{Kind: k.title(), Connections: n})
				}
				if err := o.measureKind(ctx, k, deed, rows[i]); err != nil {
					return nil, fmt.Errorf("measure %s, %d connections: %w", k.title(), n, err)
				}
				i++
			}
		}
	}
	for _, row := range rows {
		row.finish()
	}
	return rows, nil
}

// measureKind calls directly, and then through Deed.
func (o *options) measureKind(ctx context.Context, k *kind, deed *subject, row *kindRow) error {
	through := *deed
	through.tool, through.fixed = k.name+"__"+k.tool, k.fixed
	l := load{generations()[1], row.Connections, o.time, o.calls}
	for _, side := range []struct {
		total   *total
		looked  *subject
		callers func(context.Context, int) ([]caller, func() error, error)
	}{{&row.direct, nil, k.direct}, {&row.through, &through, through.callers}} {
		callers, end, err := side.callers(ctx, row.Connections)
		if err != nil {
			return err
		}
		if err := errors.Join(measured(ctx, side.total, side.looked, callers, l), end()); err != nil {
			return err
		}
	}
	return nil
}

func (r *kindRow) finish() {
	direct, through := r.direct.cell(situation{}), r.through.cell(situation{})
	r.Direct, r.DirectP50 = direct.CallsPerSecond, direct.P50Millis
	r.Deed, r.DeedP50, r.DeedP99, r.CPUMillis = through.CallsPerSecond, through.P50Millis, through.P99Millis, through.CPUMillis
	r.Throughput, r.AddedP50 = ratio(r.Deed, r.Direct), r.DeedP50-r.DirectP50
}

func (r *kindReport) write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := &printer{w: table}
	p.line("upstream\tconnections\tdirect/s\tp50 ms\tthrough Deed/s\tp50 ms\tp99 ms\tDeed CPU ms/call\tthroughput\tadded p50 ms\t")
	for _, c := range r.Rows {
		p.line("%s\t%d\t%.0f\t%.2f\t%.0f\t%.2f\t%.2f\t%.3f\t%.2f×\t%.2f\t", c.Kind, c.Connections, c.Direct, c.DirectP50, c.Deed, c.DeedP50, c.DeedP99, c.CPUMillis, c.Throughput, c.AddedP50)
	}
	if p.err == nil {
		p.err = table.Flush()
	}
	p.w = w
	p.line("\n%s, %d CPUs, load average %.1f before; fsync %.2f ms; × is through Deed, relative to direct; of what is built in, direct is mcp-go that answers the same",
		r.Go, r.CPUs, r.Load, r.FsyncMillis)
	return p.err
}
