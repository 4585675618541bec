// Package secrets finds keys, tokens and passwords in JSON, by the rules of gitleaks, so that
// none of them is put on record.
package secrets

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/zricethezav/gitleaks/v8/detect"
)

// Found is a secret in a text.
type Found struct {
	Rule     string // the name of the rule that found it, such as github-pat
	From, To int    // where it is, in bytes
}

// Finder knows what secrets look like. It is safe for concurrent use.
type Finder struct {
	rules func() (*detect.Detector, error)
}

// New returns a finder. Its rules are compiled once for all, when they are needed first.
func New() *Finder { return &Finder{rules: compiled} }

// compiled are the rules that gitleaks comes with; they take a tenth of a second and some megabytes.
var compiled = sync.OnceValues(func() (*detect.Detector, error) { //nolint:gochecknoglobals // never written
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, fmt.Errorf("read rules of secrets: %w", err)
	}
	d.IgnoreGitleaksAllow = true // it is not for agents to say what is none
	return d, nil
})

// Find tells where secrets are, in order, none within another.
func (f *Finder) Find(text string) ([]Found, error) {
	d, err := f.rules()
	if err != nil {
		return nil, err
	}
	var all []Found
	for _, finding := range d.DetectString(text) {
		for from := 0; finding.Secret != ""; { // wherever it stands
			at := strings.Index(text[from:], finding.Secret)
			if at < 0 {
				break
			}
			from += at + len(finding.Secret)
			all = append(all, Found{finding.RuleID, from - len(finding.Secret), from})
		}
	}
	slices.SortFunc(all, func(a, b Found) int {
		if a.From != b.From {
			return a.From - b.From
		}
		return b.To - a.To // the longest first
	})
	return apart(all), nil
}

// apart leaves out what is within, or overlaps with, one before it; what sticks out is added to that.
func apart(all []Found) []Found {
	var kept []Found
	for _, f := range all {
		if n := len(kept); n > 0 && f.From < kept[n-1].To {
			kept[n-1].To = max(kept[n-1].To, f.To)
			continue
		}
		kept = append(kept, f)
	}
	return kept
}
