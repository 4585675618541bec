package servers_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/deedbroker/deed/agents/demo"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// patience is how long a test waits for what must happen, on a busy machine.
const patience = time.Minute

// deed is this directory's configuration in a directory of its own, served by a real
// process, with a demo issuer in the identity provider's place.
type deed struct {
	binary, dir, url string
	issuer           *demo.Client
	http             *http.Client

	process *exec.Cmd
	exited  chan error // of process
	log     *lines     // of process
}

// serve starts the configuration with holds that answer pending after wait. When the
// test ends it stops the server and verifies what is left.
func serve(t *testing.T, wait string) *deed {
	t.Helper()
	node := need.Env(t, need.Node)
	filesystem, everything := need.Env(t, need.MCPFilesystem), need.Env(t, need.MCPEverything)
	dir, err := filepath.EvalSymlinks(t.TempDir()) // the filesystem server compares resolved paths
	if err != nil {
		t.Fatal(err)
	}
	d := &deed{binary: need.Deed(t), dir: dir, http: &http.Client{Timeout: 10 * time.Second}}
	for _, dir := range []string{"files/drafts", "files/published", "policy"} {
		if err := os.MkdirAll(filepath.Join(d.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	listen := need.Address(t)
	d.url = "http://" + listen
	issuer := d.startIssuer(t)
	d.copy(t, "deed.yaml", map[string]string{
		"127.0.0.1:8642":                       listen,
		"https://idp.acme.example/realms/acme": issuer,
		`npx, -y, "@modelcontextprotocol/server-filesystem", /srv/files`: node + ", " + filesystem + ", " + d.path("files"),
		`npx, -y, "@modelcontextprotocol/server-everything"`:             d.noted("everything.pid") + ", " + node + ", " + everything,
		"wait: 45s": "wait: " + wait,
	})
	d.copy(t, "policy/servers.cedar", map[string]string{"/srv/files": d.path("files")})
	d.start(t)
	t.Cleanup(func() {
		d.stop(t)
		d.verify(t)
	})
	return d
}

// noted is the beginning of a command that leaves its process id in a file.
func (d *deed) noted(file string) string {
	return `sh, -c, 'echo $$ > "$0"; exec "$@"', ` + d.path(file)
}

// path is an absolute one in the server's directory.
func (d *deed) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

// file is the path of a file that the filesystem server serves.
func (d *deed) file(elem ...string) string { return d.path(append([]string{"files"}, elem...)...) }

// copy copies a file of this directory, with what must be replaced at least once.
func (d *deed) copy(t *testing.T, name string, replaced map[string]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range replaced {
		if !bytes.Contains(text, []byte(was)) {
			t.Fatalf("%s does not say %s any more", name, was)
		}
		text = bytes.ReplaceAll(text, []byte(was), []byte(is))
	}
	if err := os.WriteFile(d.path(name), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// startIssuer starts the demo issuer, leaves its secrets where the CLI looks for
// them, and returns its URL.
func (d *deed) startIssuer(t *testing.T) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s, err := demo.Start(ctx, demo.Config{URL: "http://127.0.0.1:0/demo", Resources: []string{d.url + "/mcp"}})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := s.Wait(); err != nil {
			t.Error(err)
		}
	})
	if err := demo.SaveSecrets(d.path("share", "deed", "demo", "secrets.json"), s.Secrets()); err != nil {
		t.Fatal(err)
	}
	if d.issuer, err = demo.NewClient(t.Context(), s.Secrets(), nil); err != nil {
		t.Fatal(err)
	}
	return s.URL()
}
