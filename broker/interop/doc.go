// Package interop tests Deed against the software of others: the official
// conformance suite of MCP, clients of the official SDKs and of others, and servers
// that people really use. It has nothing but tests.
package interop
