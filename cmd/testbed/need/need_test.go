package need_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// recorder is a testing.TB that notes how the test would have ended.
type recorder struct {
	testing.TB

	end string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.end = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Skipf(format string, args ...any) {
	r.end = "skipped: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestEnv(t *testing.T) {
	for _, tt := range []struct{ name, value, require, want string }{
		{"set", "/usr/bin/node", "", "/usr/bin/node"},
		{"set and required", "/usr/bin/node", "all", "/usr/bin/node"},
		{"missing", "", "", "skipped: DEED_TEST_NODE is not set"},
		{"missing and required", "", "all", "failed: DEED_TEST_NODE is not set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(need.Node, tt.value)
			t.Setenv(need.Require, tt.require)
			r, done := &recorder{TB: t}, make(chan struct{})
			go func() {
				defer close(done)
				r.end = need.Env(r, need.Node)
			}()
			<-done
			if !strings.HasPrefix(r.end, tt.want) {
				t.Errorf("got %q, want %q", r.end, tt.want)
			}
			if tt.value == "" && !strings.Contains(r.end, "go run ./cmd/testbed test") {
				t.Errorf("%q doesn't say how to provide it", r.end)
			}
		})
	}
}
