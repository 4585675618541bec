package provision

import (
	"context"
	"os/exec"

	"github.com/deedbroker/deed/cmd/provide"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// rsyslog is found on the machine, or installed.
func rsyslog(ctx context.Context, c *provide.Cache) (Env, error) {
	path, err := c.Program(ctx, "rsyslogd", "rsyslog")
	return Env{need.Rsyslog: path}, err
}

// chromium is found on the machine, or installed as a package of its distribution.
func chromium(ctx context.Context, c *provide.Cache) (Env, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return Env{need.Chromium: path}, nil
		}
	}
	path, err := c.Program(ctx, "chromium", "chromium")
	return Env{need.Chromium: path}, err
}
