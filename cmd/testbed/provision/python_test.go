package provision

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/cmd/provide"
)

// fakePython can't make virtual environments; pip puts a file where it is told to,
// and any other command shows where it would look for packages.
const fakePython = `#!/bin/sh
case "$1 $2" in
"-m venv") echo "No module named ensurepip" >&2; exit 1 ;;
"-m pip") while [ "$1" != --target ]; do shift; done; mkdir -p "$2"; echo "$3" > "$2/installed" ;;
*) echo "$PYTHONPATH"; cat "$PYTHONPATH/installed" ;;
esac
`

func TestPythonWithoutVirtualEnvironments(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(fakePython), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	c := &provide.Cache{Dir: filepath.Join(t.TempDir(), "it's here")}
	env, err := pythonPackage("mcp", "1.2.3", "DEED_TEST_X")(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), env["DEED_TEST_X"], "script.py").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := filepath.Join(c.Dir, "pypi-mcp-1.2.3", "packages") + "\nmcp==1.2.3\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// fakeNPM installs what package.json asks for, by its name and version.
const fakeNPM = `#!/bin/sh
mkdir -p node_modules/@scope/tool/dist && cp package.json node_modules/@scope/tool/dist/index.js
`

func TestNPMInstallsTheExactVersion(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(fakeNPM), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	c := &provide.Cache{Dir: t.TempDir()}
	env, err := npmBinary("@scope/tool", "1.2.3", "dist/index.js", "DEED_TEST_X")(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := os.ReadFile(env["DEED_TEST_X"])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"dependencies":{"@scope/tool":"1.2.3"},"private":true}`, string(asked)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := npmBinary("@scope/tool", "1.2.3", "dist/other.js", "DEED_TEST_X")(t.Context(), c); err == nil {
		t.Error("a file that the package doesn't have was found")
	}
}
