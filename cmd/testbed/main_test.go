package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFlagsAndPackagesAreToldApart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, flags, patterns []string }{
		{nil, nil, []string{"./..."}},
		{[]string{"--"}, nil, []string{"./..."}},
		{[]string{"--", "-run", "Flow", "-v"}, []string{"-run", "Flow", "-v"}, []string{"./..."}},
		{[]string{"--", "-count=1", "./broker/..."}, []string{"-count=1"}, []string{"./broker/..."}},
	} {
		flags, patterns := split(tt.args)
		if diff := cmp.Diff([][]string{tt.flags, tt.patterns}, [][]string{flags, patterns}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.args, diff)
		}
	}
}

func TestWhatRacesInTheClientRunsWithoutRace(t *testing.T) {
	t.Parallel()
	const audit, pulsar = module + "/audit", module + "/audit/pulsar"
	for _, tt := range []struct {
		packages []string
		want     [][]string
	}{
		{[]string{audit, pulsar}, [][]string{{"test", "-timeout", "30m", "-race", "-v", audit}, {"test", "-timeout", "30m", "-v", pulsar}}},
		{[]string{audit}, [][]string{{"test", "-timeout", "30m", "-race", "-v", audit}}},
		{[]string{pulsar}, [][]string{{"test", "-timeout", "30m", "-v", pulsar}}},
	} {
		if diff := cmp.Diff(tt.want, runs([]string{"-v"}, tt.packages)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.packages, diff)
		}
	}
}

func TestPackagesThatFailAndRacesAreRemembered(t *testing.T) {
	t.Parallel()
	var shown strings.Builder
	v := &verdict{to: &shown}
	const said = "ok  \tsome/audit\t1.0s\n--- FAIL: TestX (0.1s)\nFAIL\nFAIL\tsome/broker\t2.0s\nFAIL\tsome/tools [build failed]\n"
	for _, piece := range strings.SplitAfter(said, "a") { // lines come in pieces
		if _, err := fmt.Fprint(v, piece); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"some/broker", "some/tools"}, v.failed); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if v.raced || shown.String() != said {
		t.Errorf("raced %t, shown %q", v.raced, shown.String())
	}
	if _, err := fmt.Fprintln(v, "WARNING: DATA RACE"); err != nil || !v.raced {
		t.Errorf("a data race is not remembered: %v", err)
	}
}
