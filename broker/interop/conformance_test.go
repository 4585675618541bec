package interop_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

const everything = `
permit (principal in Role::"support", action, resource);
permit (principal in Role::"assistant", action, resource);
`

// TestConformance runs the official suite against the broker, with authentication on
// and a server behind it. It passes with nothing on the list of expected failures, and no scenario
// that is required was left out. What the suite runs besides, without scoring it, is told in the log. There two checks of
// the extension for tasks fail, on purpose: a tool that must be called as a task is refused to nobody, since the broker
// waits for the task of who takes none; and a call is made a task before its tool asks anything, not after it.
//
// Nothing else of this package runs meanwhile: the suite gives some answers half a second.
func TestConformance(t *testing.T) {
	node, suite := need.Env(t, need.Node), need.Env(t, need.Conformance)
	s := start(t, fixtures(t), everything)
	base := s.authorised(t)
	for _, c := range []struct{ requirements, upstream string }{
		{"2025-11-25", "fixture"}, // whose own revision is the other one
		{"2025-11-25", "older"},
		{"2026-07-28", "fixture"},
	} {
		t.Run(c.requirements+" over "+c.upstream, func(t *testing.T) {
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
				t.Errorf("the suite fails: %v\n%s", err, lastLines(out, 90))
			}
			found := findings(t, results)
			for _, scenario := range required(t, suite, c.requirements).Server {
				if said, ran := found[scenario]; !ran || said != "" {
					t.Errorf("scenario %s is required; it ran: %t\n%s", scenario, ran, said)
				}
				delete(found, scenario)
			}
			for scenario, said := range found {
				t.Logf("beside what is required: %s: %s", scenario, cmp.Or(said, "passes\n"))
			}
		})
	}
}

// scenarios are those that a revision requires.
type scenarios struct {
	Server []string `yaml:"server"`
	Client []string `yaml:"client"`
}

func required(t *testing.T, suite, revision string) scenarios {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(suite), "..", "requirements", revision+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var list scenarios
	if err := yaml.Unmarshal(text, &list); err != nil || len(list.Server) < 30 || len(list.Client) < 18 {
		t.Fatalf("%d and %d scenarios are required: %v", len(list.Server), len(list.Client), err)
	}
	return list
}

// ranScenario takes the scenario out of the name of a directory of results.
var ranScenario = regexp.MustCompile(`^(?:server-)?(.+)-\d{4}-\d\d-\d\dT`)

// findings are what the suite has against the broker, with its reasons, by the scenarios that were run.
func findings(t *testing.T, results string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(results, "*", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob(filepath.Join(results, "auth", "*", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, below...)
	found := map[string]string{}
	for _, file := range files {
		of, err := filepath.Rel(results, filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		name := ranScenario.FindStringSubmatch(filepath.ToSlash(of))
		text, err := os.ReadFile(file)
		if err != nil || name == nil {
			t.Fatalf("%s: %v", file, err)
		}
		var checks []struct {
			ID           string `json:"id"`
			Status       string `json:"status"`
			ErrorMessage string `json:"errorMessage"`
		}
		if err := json.Unmarshal(text, &checks); err != nil || len(checks) == 0 {
			t.Fatalf("%s has %d checks: %v", file, len(checks), err)
		}
		said := ""
		for _, c := range checks {
			if c.Status != "SUCCESS" && c.Status != "INFO" && c.Status != "SKIPPED" {
				said += fmt.Sprintf("%s %s: %s\n", c.Status, c.ID, c.ErrorMessage)
			}
		}
		found[name[1]] = said
	}
	return found
}
