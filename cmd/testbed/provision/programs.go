package provision

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/deedbroker/deed/cmd/provide"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// programs are modules of their own, so that what they need does not become what Deed
// needs; each file has .txt behind its name.
//
//go:embed programs
var programs embed.FS

// program builds one of the programs.
func program(name, variable string) installer {
	return func(ctx context.Context, c *provide.Cache) (Env, error) {
		source, err := fs.Sub(programs, "programs/"+name)
		if err != nil {
			return nil, err
		}
		all, err := digest(source)
		if err != nil {
			return nil, err
		}
		dir, err := c.Once(ctx, name+"-"+all, func(dir string) error { return build(ctx, source, dir, name) })
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, name)
		return Env{variable: path}, provide.Exists(path)
	}
}

func digest(source fs.FS) (string, error) {
	all := sha256.New()
	err := eachFile(source, func(name string, text []byte) error {
		_, err := fmt.Fprintf(all, "%s\n%s\n", name, text)
		return err
	})
	return fmt.Sprintf("%.12x", all.Sum(nil)), err
}

func build(ctx context.Context, source fs.FS, dir, name string) error {
	err := eachFile(source, func(name string, text []byte) error {
		return os.WriteFile(filepath.Join(dir, strings.TrimSuffix(name, ".txt")), text, 0o600)
	})
	if err != nil {
		return err
	}
	return provide.Run(exec.CommandContext(ctx, "go", "build", "-C", dir, "-buildvcs=false", "-trimpath", "-o", name, ".")) //nolint:gosec // of this module
}

func eachFile(source fs.FS, visit func(name string, text []byte) error) error {
	files, err := fs.ReadDir(source, ".")
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := fs.ReadFile(source, f.Name())
		if err != nil {
			return err
		}
		if err := visit(f.Name(), bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))); err != nil {
			return err
		}
	}
	return nil
}

// liteWitness builds a witness that is not ours.
func liteWitness(ctx context.Context, c *provide.Cache) (Env, error) {
	dir, err := c.Once(ctx, "litewitness-"+torchwood, func(dir string) error {
		install := exec.CommandContext(ctx, "go", "install", "filippo.io/torchwood/cmd/litewitness@"+torchwood)
		install.Env = append(os.Environ(), "GOBIN="+dir)
		return provide.Run(install)
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "litewitness")
	return Env{need.LiteWitness: path}, provide.Exists(path)
}
