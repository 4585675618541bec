package pulsar

import (
	_ "embed" // the configuration
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

var (
	//go:embed standalone.conf
	standaloneConf string
	//go:embed log4j2.xml
	log4j string
)

// settings is a configuration, each key once: BookKeeper reads a repeated key as a list.
type settings map[string]string

func parseSettings(text string) settings {
	s := settings{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			s[key] = value
		}
	}
	return s
}

func (s settings) write(path string) error {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s=%s\n", key, s[key])
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}
