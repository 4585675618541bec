package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	memorySlices      = 10 // samples of a memory run
	memoryConnections = 16
	memorySettled     = 2        // slices after which caches and heap have their size
	memoryMayGrow     = 16 << 20 // bytes from then to the end: the garbage collector's breathing
)

// growth is what a memory run found about one subject.
type growth struct {
	Subject string  `json:"subject"`
	Calls   int     `json:"calls"`
	RSS     []int64 `json:"rss_bytes"` // before the first call, and after each slice
	Flat    bool    `json:"flat"`
}

// memory makes many calls in slices, in both generations by turns and over new
// connections each time, and looks at the memory after each.
func (o *options) memory(ctx context.Context, subjects []*subject, stdout io.Writer) error {
	p := &printer{w: stdout}
	for _, s := range subjects {
		g, err := o.grow(ctx, s)
		if err != nil {
			return fmt.Errorf("measure the memory of %s: %w", s.name, err)
		}
		if o.json {
			if err := json.NewEncoder(stdout).Encode(g); err != nil {
				return err
			}
			continue
		}
		p.line("%s: %d calls, resident MiB before and after each tenth: %s; %s", s.name, g.Calls, inMiB(g.RSS), verdictOf(g.Flat))
	}
	return p.err
}

func (o *options) grow(ctx context.Context, s *subject) (growth, error) {
	g := growth{Subject: s.name}
	before, err := residentBytes(s.pid)
	if err != nil {
		return g, err
	}
	g.RSS = append(g.RSS, before)
	for slice := range memorySlices {
		var t total
		ways := generations()
		calls := max(o.flat/memorySlices, 1)
		if err := t.measure(ctx, s, load{generation: ways[slice%len(ways)], connections: memoryConnections, calls: calls}); err != nil {
			return g, err
		}
		g.Calls += t.calls
		g.RSS = append(g.RSS, t.rssEnd)
	}
	g.Flat = isFlat(g.RSS)
	return g, nil
}

// isFlat compares the end with the highest value until the process had settled.
func isFlat(rss []int64) bool {
	settled := int64(0)
	for _, bytes := range rss[:memorySettled+1] {
		settled = max(settled, bytes)
	}
	return rss[len(rss)-1]-settled <= memoryMayGrow
}

func verdictOf(flat bool) string {
	if flat {
		return "flat"
	}
	return "GROWS"
}

func inMiB(sizes []int64) string {
	texts := make([]string, len(sizes))
	for i, size := range sizes {
		texts[i] = strconv.FormatInt(size>>20, 10)
	}
	return strings.Join(texts, " ")
}
