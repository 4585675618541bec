package keycloak

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/deedbroker/deed/cmd/provide"
)

// Version is that of the distribution.
const Version = "26.7.3"

// Install fetches, unpacks and builds the distribution unless it is there, and returns
// its directory.
func Install(ctx context.Context, c *provide.Cache) (string, error) {
	java, _, err := c.Java(ctx)
	if err != nil {
		return "", err
	}
	unpacked, err := c.Unpacked(ctx, provide.Artifact{
		Coordinates: "org.keycloak:keycloak-quarkus-dist:" + Version + ":tar.gz",
		SHA256:      "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47",
	})
	if err != nil {
		return "", err
	}
	return c.Once(ctx, "keycloak-"+Version+"-dev-mem", func(dir string) error {
		if err := os.CopyFS(dir, os.DirFS(unpacked)); err != nil {
			return err
		}
		build := exec.CommandContext(ctx, script(dir), "build", "--db=dev-mem", "--health-enabled=true") //nolint:gosec // of the distribution
		build.Env = append(os.Environ(), "JAVA="+java)
		return provide.Run(build)
	})
}

func script(dir string) string { return filepath.Join(dir, "bin", "kc.sh") }

// AdminUser is the name of the administrator.
const AdminUser = "admin"

// Server is one Keycloak. What it knows is gone when it stops.
type Server struct {
	URL      string // http://127.0.0.1:port
	Password string // of the administrator

	process provide.Process
}

// NewServer prepares a Keycloak that runs in dir, from the distribution at home.
func NewServer(ctx context.Context, java, home, dir string) (_ *Server, err error) {
	fail := func(err error) (*Server, error) { return nil, fmt.Errorf("prepare Keycloak in %s: %w", dir, err) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	unlock, err := provide.Lock(ctx, filepath.Join(dir, "prepare.lock")) // tests that ask at the same time get the same
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	password, err := passwordOf(filepath.Join(dir, "password"))
	if err != nil {
		return fail(err)
	}
	ports, err := provide.Ports(ctx, dir, "http", "management")
	if err != nil {
		return fail(err)
	}
	at, management := "http://127.0.0.1:"+strconv.Itoa(ports["http"]), strconv.Itoa(ports["management"])
	return &Server{URL: at, Password: password, process: provide.Process{
		Dir: dir,
		Command: []string{
			script(home), "start", "--optimized", "--cache=local", "--http-enabled=true", "--http-host=127.0.0.1",
			"--http-port=" + strconv.Itoa(ports["http"]), "--http-management-port=" + management, "--hostname=" + at,
		},
		Env: []string{
			"JAVA=" + java, "JAVA_OPTS_KC_HEAP=-Xms64m -Xmx384m -XX:MaxMetaspaceSize=256m",
			"KC_BOOTSTRAP_ADMIN_USERNAME=" + AdminUser, "KC_BOOTSTRAP_ADMIN_PASSWORD=" + password,
		},
		Ready: func(ctx context.Context) error { return ready(ctx, "http://127.0.0.1:"+management+"/health/ready") },
		// Its first start on a machine that is busy with other tests takes minutes.
		Patience: 5 * time.Minute,
	}}, nil
}

// passwordOf is the password in a file, which is made if there is none.
func passwordOf(path string) (string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the caller's directory
	if !errors.Is(err, fs.ErrNotExist) {
		return string(text), err
	}
	password := rand.Text()
	return password, os.WriteFile(path, []byte(password), 0o600)
}

func ready(ctx context.Context, url string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := new(http.Client).Do(r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %d", response.StatusCode)
	}
	return nil
}

// Start makes sure that it runs and is ready.
func (s *Server) Start(ctx context.Context) error { return s.process.Start(ctx) }

// Stop ends it.
func (s *Server) Stop(ctx context.Context) error { return s.process.Stop(ctx) }
