package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
)

const module = "github.com/deedbroker/deed"

// limit is how long the tests of one package may take: those that kill servers, and wait
// until these are back, are slow on a busy machine.
const limit = "30m"

// unraced are the packages whose tests run without -race: they have pulsar-client-go
// 0.19.0 reconnect while it sends, which races within it (producer_partition.go, grabCnx
// against internalSingleSend). Their own code is raced in the packages above them.
func unraced(pkg string) bool {
	return pkg == module+"/audit/pulsar" || pkg == module+"/cmd/deed"
}

// split tells flags of go test from packages. What is before -- was the verb's own.
func split(args []string) (flags, patterns []string) {
	for _, arg := range args {
		switch {
		case arg == "--":
		case strings.HasPrefix(arg, "./") || strings.HasPrefix(arg, module):
			patterns = append(patterns, arg)
		default:
			flags = append(flags, arg)
		}
	}
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	return flags, patterns
}

// list is the packages that patterns stand for.
func list(ctx context.Context, patterns []string, stderr io.Writer) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list"}, patterns...)...) //nolint:gosec // arguments of whoever runs the testbed
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	return strings.Fields(out.String()), nil
}

// runs are the arguments of go test that test packages: with -race, then those without.
func runs(flags, packages []string) [][]string {
	plain := []string{"test", "-timeout", limit}
	raced := append(slices.Clone(plain), "-race")
	var all [][]string
	for _, some := range []struct {
		args []string
		are  func(string) bool
	}{
		{raced, func(pkg string) bool { return !unraced(pkg) }},
		{plain, unraced},
	} {
		chosen := slices.DeleteFunc(slices.Clone(packages), func(pkg string) bool { return !some.are(pkg) })
		if len(chosen) > 0 {
			all = append(all, slices.Concat(some.args, flags, chosen))
		}
	}
	return all
}
