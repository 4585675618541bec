package bench

import (
	"strings"
	"testing"
)

// What the rows come to is said, with the targets that are missed.
func TestRowsAreJudged(t *testing.T) {
	t.Parallel()
	rows := []pulsarRow{
		{true, rowRaw, 64, 8000, 5, 30, 1},
		{true, rowProxy, 64, 9000, 6, 20, 1},
		{true, rowEmbedded, 64, 5000, 9, 25, 1},
		{true, rowPulsar, 64, 3300, 18.5, 60, 1},
	}
	var b strings.Builder
	if err := writeRows(&b, rows, 1.5); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"met    journal synced true, 64: calls are 0.82 of half the raw rate", "MISSED journal synced true, 64: own share of p50 beside the proxy's and two acknowledgements is 2.50 ms"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, b.String())
		}
	}
}
