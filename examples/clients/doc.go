// Package clients holds small MCP clients in the languages that agents are written
// in. They are scripts for people to start from; the tests run them as they are,
// with the official SDKs.
package clients
