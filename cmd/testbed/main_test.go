package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArgsOfGoTest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want []string }{
		{nil, []string{"test", "-race", "-timeout", "30m", "./..."}},
		{[]string{"--"}, []string{"test", "-race", "-timeout", "30m", "./..."}},
		{[]string{"--", "-run", "Flow", "-v"}, []string{"test", "-race", "-timeout", "30m", "-run", "Flow", "-v", "./..."}},
		{[]string{"--", "-count=1", "./broker/..."}, []string{"test", "-race", "-timeout", "30m", "-count=1", "./broker/..."}},
	} {
		if diff := cmp.Diff(tt.want, testArgs(tt.args)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.args, diff)
		}
	}
}

func TestUnknownVerbsSayWhatIsKnown(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"tset"}, {"up", "extra"}, {"test", "-v"}, {"clean", "all"}, {"down", "now"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out, &out); err == nil || err.Error() != usage {
			t.Errorf("%q: got %v", args, err)
		}
	}
}
