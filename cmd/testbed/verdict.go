package main

import (
	"bytes"
	"io"
	"strings"
)

// verdict passes on what go test prints and remembers which packages failed. A data race
// is never forgiven, so whether one was found is remembered too.
type verdict struct {
	to     io.Writer
	line   []byte // the unfinished last line
	failed []string
	raced  bool
}

func (v *verdict) Write(p []byte) (int, error) {
	n, err := v.to.Write(p)
	v.line = append(v.line, p[:n]...)
	for {
		line, rest, whole := bytes.Cut(v.line, []byte("\n"))
		if !whole {
			return n, err
		}
		v.read(string(line))
		v.line = rest
	}
}

func (v *verdict) read(line string) {
	fields := strings.Fields(line)
	switch {
	case strings.HasPrefix(line, "FAIL\t") && len(fields) > 1:
		v.failed = append(v.failed, fields[1])
	case strings.Contains(line, "WARNING: DATA RACE"):
		v.raced = true
	}
}
