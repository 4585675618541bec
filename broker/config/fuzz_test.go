package config_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/deedbroker/deed/broker/config"
)

// FuzzParse: whatever the bytes, Parse answers with a valid configuration that can
// be printed and read again, or with problems that say what is wrong.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/full.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{minimal, "", "---", "a: *b", "<<: {a: b}", "? [x]\n: y", "!!binary x", "- 1", "\"\\xff\": 1", "listen: !!str x", "url: |\n  x"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse("deed.yaml", text)
		if err != nil {
			problems, ok := errors.AsType[config.Problems](err)
			if !ok || len(problems) == 0 || problems[0].Message == "" {
				t.Fatalf("error without a problem: %v", err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("Parse returned what Validate refuses: %v", err)
		}
		var printed bytes.Buffer
		if err := c.Print(&printed); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Parse("deed.yaml", printed.Bytes()); err != nil {
			t.Fatalf("cannot read what was printed: %v\n%s", err, printed.Bytes())
		}
	})
}
