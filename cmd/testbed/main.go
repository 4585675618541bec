// Command testbed provides what Deed's tests need for real and runs them with it.
//
//	go run ./cmd/testbed test [-- go test arguments]   install what is missing, then go test -race ./...
//	go run ./cmd/testbed env                           install what is missing, print the environment for eval
//	go run ./cmd/testbed up                            the same; servers that tests start then stay up
//	go run ./cmd/testbed up -cluster                   a Pulsar of six nodes, for work by hand
//	go run ./cmd/testbed down                          stop them
//	go run ./cmd/testbed bench [flags]                 compare Deed with mcp-go alone and with a bare proxy
//	go run ./cmd/testbed clean                         remove everything that was installed
//
// What is installed, and in which versions, is in one table: provision/provision.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/deedbroker/deed/cmd/testbed/bench"
	"github.com/deedbroker/deed/cmd/testbed/need"
	"github.com/deedbroker/deed/cmd/testbed/provision"
)

const usage = "usage: testbed test [-- go test arguments] | up [-cluster] | env | down | bench [flags] | clean"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if failed, ok := errors.AsType[*testsFailed](err); ok {
		os.Exit(failed.code) // go test has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	verb, args := args[0], args[1:]
	switch {
	case verb == "test" && (len(args) == 0 || args[0] == "--"):
		return test(ctx, args, stdout, stderr)
	case verb == "bench":
		return bench.Run(ctx, args, stdout, stderr)
	case (verb == "up" || verb == "env") && len(args) == 0:
		return printEnv(ctx, stdout, stderr)
	case verb == "up" && len(args) == 1 && args[0] == "-cluster":
		return cluster(ctx, stdout, stderr)
	case verb == "down" && len(args) == 0:
		return down(ctx)
	case verb == "clean" && len(args) == 0:
		return clean(ctx)
	default:
		return errors.New(usage)
	}
}

// stopServers bounds how long the servers may take to stop.
const stopServers = 2 * time.Minute

// test runs go test with everything provided; its exit code becomes the testbed's.
// Servers that tests start are stopped at the end.
func test(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	servers, err := provision.Servers()
	if err != nil {
		return err
	}
	if err := servers.Use(ctx); err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopServers)
		defer cancel()
		err = errors.Join(err, servers.End(end))
	}()
	env, err := provision.All(ctx, stderr)
	if err != nil {
		return err
	}
	flags, patterns := split(args)
	packages, err := list(ctx, patterns, stderr)
	if err != nil {
		return err
	}
	first := &verdict{to: stdout}
	for _, run := range runs(flags, packages) {
		err = errors.Join(err, goTest(ctx, run, env, first, stderr))
	}
	if _, failed := errors.AsType[*testsFailed](err); !failed || first.raced || len(first.failed) == 0 || os.Getenv("CI") == "" {
		return err
	}
	return again(ctx, flags, first.failed, env, stdout, stderr)
}

// again gives packages that failed on a busy machine in CI one more run, on their own, and
// names them: a test that passes only now is unsteady, and is to be mended all the same.
func again(ctx context.Context, flags, packages []string, env provision.Env, stdout, stderr io.Writer) (err error) {
	if _, err := fmt.Fprintf(stdout, "testbed: once more, alone: %s\n", strings.Join(packages, " ")); err != nil {
		return err
	}
	for _, run := range runs(append(slices.Clone(flags), "-count=1"), packages) {
		err = errors.Join(err, goTest(ctx, run, env, stdout, stderr))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "testbed: UNSTEADY, passed only the second time: %s\n", strings.Join(packages, " "))
	return err
}

// goTest runs go test once, with the environment of the tests.
func goTest(ctx context.Context, args []string, env provision.Env, stdout, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // arguments of whoever runs the testbed
	cmd.Env = append(os.Environ(), need.Require+"=all")
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Run(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
			return &testsFailed{code: exit.ExitCode()}
		}
		return err
	}
	return nil
}

// testsFailed is go test's own verdict; it has printed why.
type testsFailed struct{ code int } //nolint:errname // says what happened

func (f *testsFailed) Error() string { return fmt.Sprintf("go test exited with code %d", f.code) }

func printEnv(ctx context.Context, stdout, stderr io.Writer) error {
	env, err := provision.All(ctx, stderr)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if _, err := fmt.Fprintf(stdout, "export %s='%s'\n", name, strings.ReplaceAll(env[name], "'", `'\''`)); err != nil {
			return err
		}
	}
	return nil
}

func down(ctx context.Context) error {
	servers, err := provision.Servers()
	if err != nil {
		return err
	}
	return servers.Stop(ctx)
}

func clean(ctx context.Context) error {
	dir, err := provision.Dir()
	if err != nil {
		return err
	}
	if err := down(ctx); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
