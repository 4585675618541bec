package upstream_test

import (
	"encoding/json"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
	"github.com/deedbroker/deed/tools/upstream"
)

func TestResourcesAreBounded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("limits are supported on Linux only")
	}
	u := child(t, "modern", func(c *upstream.StdioConfig) {
		c.Resources = upstream.Resources{Memory: 1 << 30, CPU: 90 * time.Second, Files: 99, Processes: 777}
	})
	toolstest.Start(t, u)
	got := text(t, u, tools.Call{ID: "1", Tool: "limits", Arguments: json.RawMessage(`{}`)})
	for _, want := range []string{`Max data size +1073741824 +1073741824`, `Max cpu time +90 +90`, `Max open files +99 +99`, `Max processes +777 +777`} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("the process has not %q:\n%s", want, got)
		}
	}
}
