package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/deedbroker/deed/cmd/provide"
)

// pythonPackage installs a PyPI package for a python of its own, and others beside it.
func pythonPackage(pkg, version, variable string, others ...string) installer {
	return func(ctx context.Context, c *provide.Cache) (Env, error) {
		dir, err := c.Once(ctx, "pypi-"+pkg+"-"+version, func(dir string) error {
			return pipInstall(ctx, c, dir, append([]string{pkg + "==" + version}, others...)...)
		})
		if err != nil {
			return nil, err
		}
		return Env{variable: pythonIn(dir)}, provide.Exists(pythonIn(dir))
	}
}

func pythonIn(dir string) string { return filepath.Join(dir, "bin", "python") }

// pipInstall makes a virtual environment; where Python came without ensurepip, it
// installs beside a script that starts the machine's python with the right path.
func pipInstall(ctx context.Context, c *provide.Cache, dir string, requirements ...string) error {
	python, err := c.Program(ctx, "python3", "python3", "python3-venv", "python3-pip")
	if err != nil {
		return err
	}
	venv := exec.CommandContext(ctx, python, "-m", "venv", dir) //nolint:gosec // python of the machine
	venvErr := provide.Run(venv)
	if venvErr == nil {
		return provide.Run(pip(ctx, pythonIn(dir), requirements...))
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, "bin"), 0o750)); err != nil {
		return err
	}
	packages := filepath.Join(dir, "packages")
	if err := provide.Run(pip(ctx, python, append([]string{"--target", packages}, requirements...)...)); err != nil {
		return fmt.Errorf("neither a virtual environment nor a directory: %w", errors.Join(venvErr, err))
	}
	script := fmt.Sprintf("#!/bin/sh\nPYTHONPATH=%s exec %s \"$@\"\n", quote(packages), quote(python))
	return os.WriteFile(pythonIn(dir), []byte(script), 0o700) //nolint:gosec // it is to be executed
}

func pip(ctx context.Context, python string, args ...string) *exec.Cmd {
	args = append([]string{"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"}, args...)
	return exec.CommandContext(ctx, python, args...) //nolint:gosec // python of the machine
}

// quote makes a word of a shell's.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
