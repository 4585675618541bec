// Package tools says what can be called: upstreams (MCP servers, built-in Go
// packages), the definitions of the tools that they offer, and the registry that
// names, pins and checks them.
//
// A tool's definition is kept as the raw bytes that its upstream sent; its digest
// goes into the record of every call. Arguments are parsed strictly and once
// ([ParseArguments]); the canonical bytes that come out are what is validated,
// decided on, recorded and sent.
package tools
