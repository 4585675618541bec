// Package need is for tests that need something real: a Node binary, an official
// MCP server, a browser. They name the environment variable that says where it is;
// `go run ./cmd/testbed test` provides all of them.
//
// Without it a plain `go test ./...` skips such a test and stays hermetic. With
// DEED_TEST_REQUIRE=all, which the testbed sets, what is missing fails the test:
// a suite that skipped what it should have proved is not green.
package need

import (
	"os"
	"testing"
)

// The variables that the testbed sets.
const (
	Node            = "DEED_TEST_NODE"             // path of a node binary, 22 or newer
	MCPFilesystem   = "DEED_TEST_MCP_FILESYSTEM"   // path of the official filesystem server's entry script, for Node
	MCPMemory       = "DEED_TEST_MCP_MEMORY"       // path of the official memory server's entry script, for Node
	MCPGit          = "DEED_TEST_MCP_GIT"          // path of a python that can run mcp_server_git
	MCPTime         = "DEED_TEST_MCP_TIME"         // path of a python that can run mcp_server_time
	MCPEverything   = "DEED_TEST_MCP_EVERYTHING"   // path of the official everything server's entry script, for Node
	Conformance     = "DEED_TEST_MCP_CONFORMANCE"  // path of the official conformance suite's entry script, for Node
	TypeScriptSDK   = "DEED_TEST_TS_SDK"           // a node_modules directory that has @modelcontextprotocol/sdk
	Python          = "DEED_TEST_PYTHON"           // path of a python that can import mcp
	FastAPI         = "DEED_TEST_FASTAPI"          // path of a python that can import fastapi and uvicorn
	PulsarPython    = "DEED_TEST_PULSAR_PYTHON"    // path of a python that can import pulsar
	ReceiversPython = "DEED_TEST_RECEIVERS_PYTHON" // path of a python that can import standardwebhooks and http_ece
	Chromium        = "DEED_TEST_CHROMIUM"         // path of a Chromium binary
	Axe             = "DEED_TEST_AXE"              // path of axe-core's script, which finds what people cannot use in a page
	TypeScript      = "DEED_TEST_TYPESCRIPT"       // path of the TypeScript compiler's entry script, for Node
	OpenBao         = "DEED_TEST_OPENBAO"          // path of the bao binary
	FastMCP         = "DEED_TEST_FASTMCP"          // path of a python that can import fastmcp
	Inspector       = "DEED_TEST_MCP_INSPECTOR"    // path of the MCP Inspector's entry script, for Node
	LiteWitness     = "DEED_TEST_LITEWITNESS"      // path of the litewitness binary
	WitnessClient   = "DEED_TEST_WITNESS_CLIENT"   // path of a client of witnesses that is not ours
	OCSF            = "DEED_TEST_OCSF"             // path of a python that can import ocsf_json_schema
	Rsyslog         = "DEED_TEST_RSYSLOG"          // path of rsyslogd
	Collector       = "DEED_TEST_COLLECTOR"        // path of a program that is the OpenTelemetry Collector's receiver

	PulsarHome = "DEED_TEST_PULSAR_HOME" // directory of Pulsar's distribution
	Servers    = "DEED_TEST_SERVERS"     // directory in which tests start servers that they share

	// A Pulsar that runs already, to be used by the tests instead of one that they start.
	PulsarURL   = "DEED_TEST_PULSAR_URL"   // pulsar://host:port
	PulsarAdmin = "DEED_TEST_PULSAR_ADMIN" // http://host:port of its admin API
	PulsarKeys  = "DEED_TEST_PULSAR_KEYS"  // directory of its keys, as package cmd/provide/pulsar makes them

	KeycloakHome = "DEED_TEST_KEYCLOAK_HOME" // directory of Keycloak's distribution, built

	// A Keycloak that runs already, to be used by the tests instead of one that they start.
	KeycloakURL      = "DEED_TEST_KEYCLOAK_URL"      // http://host:port
	KeycloakPassword = "DEED_TEST_KEYCLOAK_PASSWORD" //nolint:gosec // of its administrator, admin

	// Require makes a missing variable fail the test when it is "all".
	Require = "DEED_TEST_REQUIRE"
)

// Env returns the value of the environment variable name. If it has none, Env
// fails the test where everything is required, else it skips it.
func Env(tb testing.TB, name string) string {
	tb.Helper()
	if value := os.Getenv(name); value != "" {
		return value
	}
	const how = "%s is not set; `go run ./cmd/testbed test` installs what it stands for and runs the tests with it"
	if os.Getenv(Require) == "all" {
		tb.Fatalf(how, name)
	}
	tb.Skipf(how, name)
	return ""
}
