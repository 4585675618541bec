package adopt

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// client is a program that has MCP servers configured in a JSON file.
type client struct {
	id, title string
	key       string   // the member that holds the servers
	streams   []string // members that hold a Streamable HTTP server's URL
	events    []string // those that hold a legacy SSE server's
	places    func(Machine) []string
}

// Machine is where clients keep their files.
type Machine struct {
	OS      string // as runtime.GOOS
	Home    string
	Config  string // XDG_CONFIG_HOME; empty: below Home
	AppData string // on Windows
	Project string // the directory of a project; empty: none
}

// support is where programs keep settings on this system.
func (m Machine) support(parts ...string) string {
	base := map[string]string{
		"darwin":  filepath.Join(m.Home, "Library", "Application Support"),
		"windows": m.AppData,
	}[m.OS]
	if base == "" {
		base = m.config()
	}
	return filepath.Join(append([]string{base}, parts...)...)
}

func (m Machine) config(parts ...string) string {
	base := m.Config
	if base == "" {
		base = filepath.Join(m.Home, ".config")
	}
	return filepath.Join(append([]string{base}, parts...)...)
}

func (m Machine) home(parts ...string) string {
	return filepath.Join(append([]string{m.Home}, parts...)...)
}

// project is a file of the project, where there is one.
func (m Machine) project(parts ...string) []string {
	if m.Project == "" {
		return nil
	}
	return []string{filepath.Join(append([]string{m.Project}, parts...)...)}
}

func (m Machine) zed() string {
	if m.OS == "windows" {
		return filepath.Join(m.AppData, "Zed", "settings.json")
	}
	return m.config("zed", "settings.json")
}

// clients are those that are known.
func clients() []client {
	url := []string{"url"}
	return []client{
		{"claude-desktop", "Claude Desktop", "mcpServers", url, nil, func(m Machine) []string {
			return []string{m.support("Claude", "claude_desktop_config.json")}
		}},
		{"claude-code", "Claude Code", "mcpServers", url, nil, func(m Machine) []string {
			return append([]string{m.home(".claude.json")}, m.project(".mcp.json")...)
		}},
		{"cursor", "Cursor", "mcpServers", url, nil, func(m Machine) []string {
			return append([]string{m.home(".cursor", "mcp.json")}, m.project(".cursor", "mcp.json")...)
		}},
		{"vscode", "VS Code", "servers", url, nil, func(m Machine) []string {
			return append([]string{m.support("Code", "User", "mcp.json")}, m.project(".vscode", "mcp.json")...)
		}},
		{"windsurf", "Windsurf", "mcpServers", []string{"serverUrl", "url"}, nil, func(m Machine) []string {
			return []string{m.home(".codeium", "windsurf", "mcp_config.json")}
		}},
		{"zed", "Zed", "context_servers", url, nil, func(m Machine) []string {
			return append([]string{m.zed()}, m.project(".zed", "settings.json")...)
		}},
		{"gemini", "Gemini CLI", "mcpServers", []string{"httpUrl"}, url, func(m Machine) []string {
			return append([]string{m.home(".gemini", "settings.json")}, m.project(".gemini", "settings.json")...)
		}},
	}
}

// Clients are the ids of the clients that are known.
func Clients() []string {
	var ids []string
	for _, c := range clients() {
		ids = append(ids, c.id)
	}
	return ids
}

// File is a client's configuration file.
type File struct {
	Client string `json:"client"` // id
	Path   string `json:"path"`
}

// Find names the files that the chosen clients, or all, may have.
func Find(m Machine, chosen []string) ([]File, error) {
	for _, id := range chosen {
		if !slices.Contains(Clients(), id) {
			return nil, fmt.Errorf("no client is called %q; known are %s", id, strings.Join(Clients(), ", "))
		}
	}
	var files []File
	for _, c := range clients() {
		if len(chosen) > 0 && !slices.Contains(chosen, c.id) {
			continue
		}
		for _, path := range c.places(m) {
			files = append(files, File{c.id, path})
		}
	}
	return files, nil
}

func clientOf(id string) client {
	all := clients()
	return all[slices.IndexFunc(all, func(c client) bool { return c.id == id })]
}
