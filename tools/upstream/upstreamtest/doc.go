// Package upstreamtest has MCP servers for tests, made with mcp-go: one with everything
// that the official conformance suite looks for in a server, in the revisions of the
// protocol with sessions as well as in those without.
package upstreamtest
