package bench

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// What the rows come to is said, with the targets that are missed.
func TestRowsAreJudged(t *testing.T) {
	t.Parallel()
	rows := []pulsarRow{
		{true, rowRaw, 64, 8000, 5, 30, bill{Pulsar: 0.1, Load: 0.1}},
		{true, rowProxy, 64, 9000, 6, 20, bill{Subject: 0.2}},
		{true, rowEmbedded, 64, 5000, 9, 25, bill{Subject: 0.3}},
		{true, rowPulsar, 64, 3300, 18.5, 60, bill{Subject: 0.5, Tool: 0.1, Pulsar: 0.3, Load: 0.1}},
	}
	var b strings.Builder
	if err := writeRows(&b, rows, 1.5); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"at 1.00 ms CPU a call, all in all, " + strconv.Itoa(runtime.NumCPU()) + " CPUs allow " + strconv.Itoa(1000*runtime.NumCPU()) + " calls a second; the target is 3200",
		"met    journal synced true, 64: calls are 0.82 of half the raw rate",
		"MISSED journal synced true, 64: own share of p50 beside the proxy's and two acknowledgements is 2.50 ms",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, b.String())
		}
	}
}
