package upstream_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/deedbroker/deed/cmd/testbed/need"
	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/toolstest"
	"github.com/deedbroker/deed/tools/upstream"
)

// TestOfficialServers starts official servers and has each do its work.
func TestOfficialServers(t *testing.T) {
	t.Parallel()
	repository := t.TempDir()
	for name, tt := range map[string]struct {
		start func(*testing.T) upstream.StdioConfig
		calls [][3]string // tool, arguments, part of the answer
	}{
		"memory": {func(t *testing.T) upstream.StdioConfig {
			t.Helper()
			return upstream.StdioConfig{
				Command: need.Env(t, need.Node), Args: []string{need.Env(t, need.MCPMemory)},
				Env: map[string]string{"MEMORY_FILE_PATH": filepath.Join(t.TempDir(), "memory.jsonl")},
			}
		}, [][3]string{
			{"create_entities", `{"entities":[{"name":"Ada","entityType":"person","observations":["likes tea"]}]}`, "Ada"},
			{"search_nodes", `{"query":"tea"}`, "Ada"},
		}},
		"git": {func(t *testing.T) upstream.StdioConfig {
			t.Helper()
			if said, err := exec.CommandContext(t.Context(), "git", "init", "-q", repository).CombinedOutput(); err != nil {
				t.Fatalf("git init: %v: %s", err, said)
			}
			return upstream.StdioConfig{Command: need.Env(t, need.MCPGit), Args: []string{"-m", "mcp_server_git", "--repository", repository}}
		}, [][3]string{
			{"git_status", `{"repo_path":"` + repository + `"}`, "No commits yet"},
		}},
		"time": {func(t *testing.T) upstream.StdioConfig {
			t.Helper()
			return upstream.StdioConfig{Command: need.Env(t, need.MCPTime), Args: []string{"-m", "mcp_server_time", "--local-timezone", "Europe/Berlin"}}
		}, [][3]string{
			{"convert_time", `{"source_timezone":"Europe/Berlin","time":"12:00","target_timezone":"Asia/Tokyo"}`, "Asia/Tokyo"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := upstream.NewStdio(tt.start(t))
			if err != nil {
				t.Fatal(err)
			}
			toolstest.Start(t, u)
			for _, call := range tt.calls {
				if got := text(t, u, tools.Call{ID: "1", Tool: call[0], Arguments: json.RawMessage(call[1])}); !strings.Contains(got, call[2]) {
					t.Errorf("%s answered %s, want %s", call[0], got, call[2])
				}
			}
		})
	}
}
