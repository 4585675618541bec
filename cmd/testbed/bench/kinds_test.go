package bench

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/deedbroker/deed/broker/config"
)

// Each kind of upstream is called directly, and is one that a broker takes.
func TestEachKindIsCalledDirectly(t *testing.T) {
	t.Parallel()
	o := &options{child: []string{os.Args[0], "bench", "subject"}}
	servers, err := startChild(t.Context(), subjectKinds, o.child)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := servers.stop(); err != nil {
			t.Error(err)
		}
	})
	kinds, err := o.kindsAt(strings.TrimSuffix(servers.url, "/mcp"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := deedConfig{dir: t.TempDir(), echo: []string{"testbed"}, more: map[string]any{}}
	for _, k := range kinds {
		if k.upstream != nil {
			maps.Copy(k.upstream, map[string]any{"domain": "bench"})
			c.more[k.name] = k.upstream
		}
		callers, end, err := k.direct(t.Context(), 2)
		if err != nil {
			t.Errorf("%s: %v", k.title(), err)
			continue
		}
		var found total
		if err := measured(t.Context(), &found, nil, callers, load{connections: 2, calls: 10}); err != nil || found.calls != 10 {
			t.Errorf("%s: %d calls, %v", k.title(), found.calls, err)
		}
		if err := end(); err != nil {
			t.Errorf("%s: %v", k.title(), err)
		}
	}
	if err := c.write("127.0.0.1:8642", "http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	parsed, err := config.Load(filepath.Join(c.dir, "deed.yaml"))
	if err != nil || len(parsed.Upstreams) != len(kinds) {
		t.Errorf("%d of %d kinds are configured: %v", len(parsed.Upstreams), len(kinds), err)
	}
}

func TestKindsAreCompared(t *testing.T) {
	t.Parallel()
	row := &kindRow{Kind: "stdio", Connections: 4}
	row.direct = total{calls: 100, elapsed: time.Second, latencies: []time.Duration{time.Millisecond}}
	row.through = total{calls: 25, elapsed: time.Second, latencies: []time.Duration{3 * time.Millisecond}, cpu: 50 * time.Millisecond}
	row.finish()
	var out bytes.Buffer
	if err := (&kindReport{Go: "go", CPUs: 2, Rows: []*kindRow{row}}).write(&out, false); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(got, "stdio 4 100 1.00 25 3.00 3.00 2.000 0.25× 2.00") {
		t.Errorf("the table says:\n%s", got)
	}
}
