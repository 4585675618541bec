package interop_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

const everything = `
permit (principal in Role::"support", action, resource);
permit (principal in Role::"assistant", action, resource);
`

// TestConformance runs the official suite against the broker, with authentication on
// and a server behind it. It passes with nothing on the list of expected failures.
func TestConformance(t *testing.T) {
	t.Parallel()
	node, suite := need.Env(t, need.Node), need.Env(t, need.Conformance)
	s := start(t, fixtures(t), everything)
	base := s.authorised(t)
	for _, c := range []struct{ requirements, upstream string }{
		{"2025-11-25", "fixture"}, // whose own revision is the other one
		{"2025-11-25", "older"},
		{"2026-07-28", "fixture"},
	} {
		t.Run(c.requirements+" over "+c.upstream, func(t *testing.T) {
			t.Parallel()
			nothing := filepath.Join(t.TempDir(), "expected.yml")
			if err := os.WriteFile(nothing, []byte("server: []\nclient: []\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), node, suite, "server",
				"--url", base+"/mcp/"+c.upstream, "--requirements", c.requirements, "--expected-failures", nothing)
			results := t.TempDir()
			cmd.Args = append(cmd.Args, "--output-dir", results)
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			t.Log(lastLines(out, 3))
			if err != nil {
				t.Errorf("the suite fails: %v\n%s\n%s", err, lastLines(out, 90), findings(t, results))
			}
		})
	}
}

// findings are what the suite has against the broker, with its reasons.
func findings(t *testing.T, results string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(results, "*", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var found strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var checks []struct {
			ID           string `json:"id"`
			Status       string `json:"status"`
			ErrorMessage string `json:"errorMessage"`
		}
		if err := json.Unmarshal(text, &checks); err != nil {
			t.Fatal(err)
		}
		for _, c := range checks {
			if c.Status == "FAILURE" || c.Status == "WARNING" {
				fmt.Fprintf(&found, "%s: %s %s: %s\n", filepath.Base(filepath.Dir(file)), c.Status, c.ID, c.ErrorMessage)
			}
		}
	}
	return found.String()
}
